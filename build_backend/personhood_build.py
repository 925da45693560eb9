"""How personhood is built: by setuptools, once posthog-js's files are in the package (PEP 517).

What cannot be fetched does not stop a build: the server works without these files, and tells
whoever asks for one how to get it.
"""

import sys
from typing import Any

import posthog_js
from setuptools import build_meta

prepare_metadata_for_build_wheel = build_meta.prepare_metadata_for_build_wheel
prepare_metadata_for_build_editable = build_meta.prepare_metadata_for_build_editable

Settings = dict[str, Any] | None


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    return build_meta.get_requires_for_build_wheel(config_settings) + posthog_js.requirements()


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    return build_meta.get_requires_for_build_editable(config_settings) + posthog_js.requirements()


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    return build_meta.get_requires_for_build_sdist(config_settings) + posthog_js.requirements()


def build_wheel(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    fetch()
    return build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    fetch()
    return build_meta.build_editable(wheel_directory, config_settings, metadata_directory)


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    fetch()
    return build_meta.build_sdist(sdist_directory, config_settings)


def fetch() -> None:
    try:
        posthog_js.fetch()
    except posthog_js.NotFetched as error:
        print(
            f"WARNING: posthog-js {posthog_js.VERSION} is not part of this build: {error}.\n"
            "Everything works but /static/*.js and /array/<token>/array.js. To have them, build "
            "again where npm reaches its registry.",
            file=sys.stderr,
        )
