"""The Unix modules that aerec needs; on other systems the import error says what to do."""

try:
    import fcntl
    import resource
except ModuleNotFoundError as error:
    raise ImportError(
        "aerec runs on Linux and macOS; on Windows, use the Windows Subsystem for Linux"
    ) from error

__all__ = ["fcntl", "resource"]
