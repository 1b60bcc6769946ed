"""How the twin says no: with status 200, an exception and its code."""


class Denied(Exception):
    """What a function answers instead: the exception's class in Moodle, its code, and words."""

    def __init__(self, exception: str, code: str, message: str) -> None:
        super().__init__(code)
        self.body = {"exception": exception, "errorcode": code, "message": message}


def invalid_parameter(message: str = "A value is not taken.") -> Denied:
    return Denied("core\\exception\\invalid_parameter_exception", "invalidparameter", message)


def not_there(table: str) -> Denied:
    return Denied("dml_missing_record_exception", "invalidrecord", f"Nothing of that id in {table}.")


def no_such_user() -> Denied:
    return Denied("dml_missing_record_exception", "invaliduser", "There is nobody of that id.")


def not_permitted(capability: str) -> Denied:
    return Denied("core\\exception\\required_capability_exception", "nopermissions", f"Not permitted: {capability}.")


def not_saved(message: str) -> Denied:
    return Denied("core\\invalid_persistent_exception", "invalidpersistenterror", f"Not saved: {message}.")


def against_the_rules(message: str) -> Denied:
    return Denied("core\\exception\\coding_exception", "codingerror", f"Not done: {message}.")


def too_long() -> Denied:
    return Denied("dml_write_exception", "dmlwriteexception", "The database did not take it.")


def not_in_the_service() -> Denied:
    return Denied("webservice_access_exception", "accessexception", "No access.")


def no_such_token() -> Denied:
    return Denied("core\\exception\\moodle_exception", "invalidtoken", "There is no such token.")


def maintenance() -> Denied:
    return Denied("core\\exception\\moodle_exception", "sitemaintenance", "The site is being worked on.")
