"""What is stored. Imports nothing else of ours and never reads the environment.

Tortoise finds every table through this package: a new table needs its import here and a migration.
"""

from models.alerts import Alert, Card
from models.captured import Captured, OwnAddress, Reminder
from models.chats import Dialogue, InboundEvent
from models.hits import Agent, Hit, OwnDevice, Pack, Taught
from models.insights import Habit, HourSum, MailSum, PersonSum, Stale
from models.mail import Link, Message, Recipient
from models.mailboxes import Audit, Mailbox, Outgoing
from models.people import AccessCode, Account, Destination, Identity, InstanceState, OptOut, Person

__all__ = [
    "AccessCode",
    "Account",
    "Agent",
    "Alert",
    "Audit",
    "Captured",
    "Card",
    "Destination",
    "Dialogue",
    "Habit",
    "Hit",
    "HourSum",
    "Identity",
    "InboundEvent",
    "InstanceState",
    "Link",
    "MailSum",
    "Mailbox",
    "Message",
    "OptOut",
    "Outgoing",
    "OwnAddress",
    "OwnDevice",
    "Pack",
    "Person",
    "PersonSum",
    "Recipient",
    "Reminder",
    "Stale",
    "Taught",
]
