"""The connector's own file of connections, for what finds its connection by itself."""


def write_settings(folder, settings):
    """Write ``connections.toml`` and return the environment in which it is found."""
    lines = ["[default]"]
    lines += [f"{key} = {quoted(v)}" for key, v in settings.items() if not isinstance(v, dict)]
    lines.append("[default.session_parameters]")
    lines += [f"{key} = {quoted(v)}" for key, v in settings["session_parameters"].items()]
    file = folder / "connections.toml"
    file.write_text("\n".join(lines), encoding="utf-8")
    file.chmod(0o600)
    return {"SNOWFLAKE_HOME": str(folder), "CIRCUITSCOPE_SNOWFLAKE": "on"}


def quoted(value):
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
