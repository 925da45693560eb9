"""Event properties that become person properties by themselves (contract: 4.5)."""

from personhood.model import Properties

DEVICE = frozenset(
    """
    $app_build $app_name $app_namespace $app_version $browser $browser_version $device_type
    $current_url $pathname $os $os_version $referring_domain $referrer $screen_height
    $screen_width $viewport_height $viewport_width $raw_user_agent
    """.split()
)
CAMPAIGN = frozenset(
    """
    utm_source utm_medium utm_campaign utm_content utm_name utm_term gclid gad_source gclsrc dclid
    gbraid wbraid fbclid msclkid twclid li_fat_id mc_cid igshid ttclid rdt_cid irclid _kx epik
    qclid sccid
    """.split()
)
COPIED = {key: f"$initial_{key.removeprefix('$')}" for key in sorted(DEVICE | CAMPAIGN)}
OFFERED = frozenset(COPIED) | {"$os_name"}
# The operating system of a server says nothing about its users.
OF_THE_SERVER = frozenset({"$os", "$os_version"})


def copied(properties: Properties, *, into: Properties, once: Properties) -> None:
    """Add what `properties` offer to `into` ($set: the latest) and `once` ($set_once: the first).

    What the client gave there itself stays. A null is a latest value, never a first one.
    """
    found = OFFERED.intersection(properties)
    if not found:
        return
    values = {key: properties[key] for key in found if key in COPIED}
    if "$os_name" in found and "$os" not in found:
        values["$os"] = properties["$os_name"]
    for key, value in values.items():
        if key in OF_THE_SERVER and properties.get("$is_server") is True:
            continue
        into.setdefault(key, value)
        if value is not None:
            once.setdefault(COPIED[key], value)
