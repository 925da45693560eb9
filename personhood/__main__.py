from personhood.cli import main

main()
