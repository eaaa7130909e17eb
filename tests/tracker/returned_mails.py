"""Mail that servers send about mail that did not arrive, as they word it; and answers that nobody wrote.

Templates with the original Message-ID in `{id}`. Worded after postfix 3.7, qmail 1.03, Exim 4.96, Exchange
Online, Gmail and sendmail 8.15 of 2026.
"""

from __future__ import annotations

_TO = "From: {daemon}\nTo: alice@home.example\nDate: Mon, 02 Mar 2026 10:00:00 +0000\n"
_COPY = "From: alice@home.example\nTo: ana@acme.com\nSubject: Q3 proposal\nMessage-ID: <{id}>\n\nHello\n"

BOUNCES: dict[str, tuple[str, str]] = {
    # name: (the mail, a part of its reason)
    "postfix, RFC 3464": (
        _TO.replace("{daemon}", "MAILER-DAEMON@mx.home.example (Mail Delivery System)")
        + "Subject: Undelivered Mail Returned to Sender\nAuto-Submitted: auto-replied\n"
        "Message-ID: <b1@mx.home.example>\nMIME-Version: 1.0\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="B"\n\n'
        "--B\nContent-Type: text/plain\n\nThis is the mail system at host mx.home.example.\n\n"
        "--B\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.home.example\n\n"
        "Final-Recipient: rfc822; ana@acme.com\nOriginal-Recipient: rfc822;ana@acme.com\nAction: failed\n"
        "Status: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 <ana@acme.com>: Recipient address rejected: User\n"
        "    unknown\n\n--B\nContent-Type: text/rfc822-headers\n\n" + _COPY + "\n--B--\n",
        "550 5.1.1 <ana@acme.com>: Recipient address rejected: User unknown",
    ),
    "postfix, plain text": (
        _TO.replace("{daemon}", "MAILER-DAEMON@mx.home.example (Mail Delivery System)")
        + "Subject: Undelivered Mail Returned to Sender\nMessage-ID: <b2@mx.home.example>\n\n"
        "This is the mail system at host mx.home.example.\n\n"
        "I'm sorry to have to inform you that your message could not\n"
        "be delivered to one or more recipients. It's attached below.\n\n"
        "For further assistance, please send mail to postmaster.\n\n"
        "                   The mail system\n\n"
        "<ana@acme.com>: host mx.acme.com[203.0.113.5] said: 550 5.1.1 No such user\n"
        "    here (in reply to RCPT TO command)\n\n"
        "--- Below this line is a copy of the message.\n\n" + _COPY,
        "550 5.1.1 No such user here",
    ),
    "qmail": (
        _TO.replace("{daemon}", "MAILER-DAEMON@home.example") + "Subject: failure notice\n\n"
        "Hi. This is the qmail-send program at home.example.\n"
        "I'm afraid I wasn't able to deliver your message to the following addresses.\n"
        "This is a permanent error; I've given up. Sorry it didn't work out.\n\n"
        "<ana@acme.com>:\n203.0.113.5 does not like recipient.\n"
        "Remote host said: 550 sorry, no mailbox here by that name\nGiving up on 203.0.113.5.\n\n"
        "--- Below this line is a copy of the message.\n\nReturn-Path: <alice@home.example>\n" + _COPY,
        "550 sorry, no mailbox here by that name",
    ),
    "Exim": (
        _TO.replace("{daemon}", "Mail Delivery System <Mailer-Daemon@home.example>")
        + "X-Failed-Recipients: ana@acme.com\nAuto-Submitted: auto-replied\n"
        "Subject: Mail delivery failed: returning message to sender\n\n"
        "This message was created automatically by mail delivery software.\n\n"
        "A message that you sent could not be delivered to one or more of its\n"
        "recipients. This is a permanent error. The following address(es) failed:\n\n"
        "  ana@acme.com\n    host mx.acme.com [203.0.113.5]\n    SMTP error from remote mail server after "
        "RCPT TO:<ana@acme.com>:\n    550 5.7.1 Mail refused by policy\n\n"
        "------ This is a copy of the message, including all the headers. ------\n\n" + _COPY,
        "550 5.7.1 Mail refused by policy",
    ),
    "Exchange Online": (
        _TO.replace(
            "{daemon}",
            "Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@home.example>",
        )
        + "Subject: Undeliverable: Q3 proposal\nMessage-ID: <b5@home.example>\nIn-Reply-To: <{id}>\n"
        "MIME-Version: 1.0\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="B"\n\n'
        "--B\nContent-Type: text/html\n\n<p>Your message to ana@acme.com couldn't be delivered.</p>"
        "<p>ana wasn't found at acme.com.</p>\n\n"
        "--B\nContent-Type: message/delivery-status\n\nReporting-MTA: dns;DB9PR01MB1.prod.outlook.example\n\n"
        "Final-Recipient: rfc822;ana@acme.com\nAction: failed\nStatus: 5.1.10\n"
        "Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP "
        "address lookup\n\n--B\nContent-Type: message/rfc822\n\n" + _COPY + "\n--B--\n",
        "550 5.1.10 RESOLVER.ADR.RecipientNotFound",
    ),
    "Exchange, plain text": (
        _TO.replace("{daemon}", "Microsoft Exchange <postmaster@home.example>")
        + "Subject: Undeliverable: Q3 proposal\n\n"
        "Delivery has failed to these recipients or groups:\n\n"
        "Ana Novak (ana@acme.com)<mailto:ana@acme.com>\n"
        "The email address you entered couldn't be found. Please check the address and try again.\n\n"
        "Diagnostic information for administrators:\n\nGenerating server: ex1.home.example\n\n"
        "ana@acme.com\nRemote Server returned '550 5.1.1 User unknown'\n\n"
        "Original message headers:\n\nReceived: from ex1\nMessage-ID: <{id}>\nSubject: Q3 proposal\n",
        "550 5.1.1 User unknown",
    ),
    "Gmail": (
        _TO.replace("{daemon}", "Mail Delivery Subsystem <mailer-daemon@googlemail.com>")
        + "X-Failed-Recipients: ana@acme.com\nAuto-Submitted: auto-replied\n"
        "Subject: Delivery Status Notification (Failure)\nReferences: <{id}>\nIn-Reply-To: <{id}>\n"
        "MIME-Version: 1.0\n"
        'Content-Type: multipart/report; boundary="B"; report-type=delivery-status\n\n'
        "--B\nContent-Type: multipart/related; boundary=C\n\n--C\nContent-Type: text/plain\n\n"
        "** Address not found **\n\nYour message wasn't delivered to ana@acme.com because the address "
        "couldn't be found, or is unable to receive mail.\n\n--C--\n"
        "--B\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; googlemail.com\n\n"
        "Final-Recipient: rfc822; ana@acme.com\nAction: failed\nStatus: 5.1.1\n"
        "Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist.\n\n"
        "--B\nContent-Type: message/rfc822\n\n" + _COPY + "\n--B--\n",
        "The email account that you tried to reach does not exist.",
    ),
    "sendmail": (
        _TO.replace("{daemon}", "Mail Delivery Subsystem <MAILER-DAEMON@home.example>")
        + "Subject: Returned mail: see transcript for details\n\n"
        "The original message was received at Mon, 2 Mar 2026 10:00:00 GMT\nfrom localhost [127.0.0.1]\n\n"
        "   ----- The following addresses had permanent fatal errors -----\n<ana@acme.com>\n"
        "    (reason: 550 5.1.1 <ana@acme.com>... User unknown)\n\n"
        "   ----- Transcript of session follows -----\n... while talking to mx.acme.com.:\n"
        ">>> DATA\n<<< 550 5.1.1 <ana@acme.com>... User unknown\n\n"
        "   ----- Original message -----\n\n" + _COPY,
        "550 5.1.1",
    ),
}

DELAYS: dict[str, str] = {
    "postfix, RFC 3464": BOUNCES["postfix, RFC 3464"][0]
    .replace("Action: failed", "Action: delayed")
    .replace("Status: 5.1.1", "Status: 4.4.1")
    .replace("550 5.1.1 <ana@acme.com>: Recipient address rejected: User\n    unknown", "451 4.4.1 later")
    .replace("Undelivered Mail Returned to Sender", "Delayed Mail (still being retried)"),
    "Exim": _TO.replace("{daemon}", "Mail Delivery System <Mailer-Daemon@home.example>")
    + "Auto-Submitted: auto-replied\nSubject: Warning: message 1abc delayed 24 hours\n\n"
    "This message was created automatically by mail delivery software.\nA message that you sent has not yet "
    "been delivered to one or more of its\nrecipients after more than 24 hours on the queue.\n\n"
    "The address to which the message has not yet been delivered is:\n\n  ana@acme.com\n"
    "    host mx.acme.com [203.0.113.5]: 451 4.7.1 try again later\n\nNo action is required on your part. "
    "Delivery attempts will continue for\nsome time.\n\nMessage-ID: <{id}>\n",
    "sendmail": _TO.replace("{daemon}", "Mail Delivery Subsystem <MAILER-DAEMON@home.example>")
    + "Subject: Warning: could not send message for past 4 hours\n\n"
    "    **********************************************\n    **      THIS IS A WARNING MESSAGE ONLY      **\n"
    "    **  YOU DO NOT NEED TO RESEND YOUR MESSAGE  **\n\n"
    "   ----- Transcript of session follows -----\n<ana@acme.com>... Deferred: Connection timed out\n"
    "Warning: message still undelivered after 4 hours\n\n   ----- Original message -----\n\n" + _COPY,
}

_ANA = "From: Ana <ana@acme.com>\nTo: alice@home.example\nMessage-ID: <a1@acme.com>\nIn-Reply-To: <{id}>\n"

# By language: what the programs say of themselves, then what only the subject says.
AWAY: dict[str, str] = {
    "English, Exchange": _ANA + "Auto-Submitted: auto-generated\nX-Auto-Response-Suppress: All\n"
    "Subject: Automatic reply: Q3 proposal\n\nI am out of the office until 9 March.\n",
    "English, Gmail": _ANA + "Auto-Submitted: auto-replied\nPrecedence: bulk\nX-Autoreply: yes\n"
    "Subject: Out of office Re: Q3 proposal\n\nBack on Monday.\n",
    "German, Outlook": _ANA + "Subject: Automatische Antwort: Q3 proposal\n\nIch bin nicht im =?\n",
    "German, words alone": _ANA + "Subject: =?utf-8?q?Abwesenheitsnotiz=3A_Q3?=\n\nIch bin im Urlaub.\n",
    "French": _ANA + "Subject: =?utf-8?q?R=C3=A9ponse_automatique_=3A_Q3_proposal?=\n\nJe suis absent.\n",
    "French, absence": _ANA + "Subject: Absence du bureau : Q3 proposal\n\nJe suis absent.\n",
    "Spanish": _ANA + "Subject: =?utf-8?q?Respuesta_autom=C3=A1tica=3A_Q3_proposal?=\n\nEstoy fuera.\n",
    "Italian": _ANA + "Subject: Risposta automatica: Q3 proposal\n\nSono in ferie.\n",
    "Italian, away": _ANA + "Subject: Fuori sede: Q3 proposal\n\nSono in ferie.\n",
    "Portuguese": _ANA + "Subject: Resposta =?utf-8?q?autom=C3=A1tica=3A?= Q3 proposal\n\nEstou fora.\n",
    "vacation, sieve": _ANA + "Auto-Submitted: auto-replied (vacation)\nSubject: Auto: Q3 proposal\n\nx\n",
    "a ticket system": _ANA + "Precedence: bulk\nSubject: [#123] Q3 proposal\n\nWe received it.\n",
    "an empty return path": "Return-Path: <>\n" + _ANA + "Subject: Re: Q3 proposal\n\nnoted by a machine\n",
}
