"""Why a sync stopped, and what to do about it, for those who get a notice of it."""

Cause = tuple[str, str]
"""What happened, and what to do about it; `{connection}` is put in."""

# Of the codes that any system may cause. What a connector finds wrong is told in the connector's own sentence.
CAUSES: dict[str, Cause] = {
    "token-refused": (
        "It no longer accepts the client id and secret.",
        "Ask whoever runs {connection} whether the secret was changed or has ended, and get a new one.",
    ),
    "unauthorized": (
        "It let us sign in and then refused to answer.",
        "Ask whoever runs {connection} whether the access of these credentials is still switched on.",
    ),
    "grant-ended": (
        "What somebody had agreed to there counts no more.",
        "Agree anew: planbridge connections authorize {connection}",
    ),
    "signing-key-unusable": (
        "There is no key of ours to sign with, or it cannot be read.",
        "Look at the keys of the tool: docs/lti.md says how.",
    ),
    "clock-differs": (
        "It takes each new token for one that has ended, because its clock and ours differ by minutes.",
        "Ask whoever runs {connection} to look at its clock, and look at the clock of this machine.",
    ),
    "no-credentials": ("There are no credentials to sign in with.", "Enter them."),
    "token-malformed": ("The access token has characters that no token has.", "Enter it again, without spaces."),
    "token-url-wrong": (
        "The address where we sign in answered with something else, such as a web page.",
        "Ask whoever runs {connection} whether its sign-in address has changed or a sign-in page stands in between.",
    ),
    "http-html-instead-of-json": (
        "A web page came where data should come.",
        "Ask whoever runs {connection} whether its address has changed or a sign-in page stands in between.",
    ),
    "http-not-json": (
        "It answered with something that is not data.",
        "Ask whoever runs {connection} whether something was changed there.",
    ),
    "unexpected-redirect": (
        "It sends us to another address, and we do not follow with the credentials.",
        "Ask whoever runs {connection} for its present address.",
    ),
    "left-origin": (
        "It names a link to another host, and we do not follow with the credentials.",
        "Ask whoever runs {connection} whether its public address is set right.",
    ),
    "tls-failed": (
        "No secure connection could be made, most often because a certificate has ended.",
        "Ask whoever runs {connection} whether its certificate is still valid.",
    ),
    "address-refused": (
        "Its name now leads to an address inside a private network, which is not allowed for it.",
        "Ask your network staff whether that is meant; if so, name it in private_addresses, with the reason.",
    ),
    "proxy-invalid": (
        "The setting proxy of {connection} is not the address of a proxy.",
        "Correct it.",
    ),
    "proxy-refused": (
        "The proxy on the way to it did not let the request through.",
        "Ask your network staff whether its password has changed and whether {connection} may be reached.",
    ),
    "ca-file-unreadable": (
        "The file of your own certificate authority cannot be read.",
        "Look whether the file that ca_file of {connection} names lies on every machine with a worker.",
    ),
    "unreachable": (
        "Nobody answers at its address.",
        "Ask whether {connection} is up, and whether the firewall lets this machine out to it.",
    ),
    "timed-out": ("It gave no whole answer in time, after several tries.", "Ask whether {connection} is slow today."),
    "connection-dropped": (
        "The line broke in the middle of an answer, several times.",
        "Ask your network staff about a proxy or firewall that cuts long answers.",
    ),
    "server-busy": (
        "It says that it is too busy.",
        "Ask whoever runs {connection} at which hours it may be asked.",
    ),
    "answer-too-large": (
        "It gives answers that are too large to be read.",
        "Ask for fewer rows at once, and ask whoever runs {connection} what it sends.",
    ),
    "server-error": (
        "It failed several times with an error of its own.",
        "Ask whoever runs {connection} what went wrong there.",
    ),
    "truncated-json": (
        "Its answers were cut off or damaged, several times.",
        "Ask whoever runs {connection}, and your network staff, what stands in between.",
    ),
    "internal-error": (
        "That is a fault of Planbridge, not of yours.",
        "Report it with what `planbridge runs` shows of this run.",
    ),
}
