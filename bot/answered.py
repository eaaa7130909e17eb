"""Which messages in chats answer for one mail: kept with the mail, so that `forget` can have them replaced.

Called by the chats once an answer stands in one. Cards and rings have rows of their own and never come
through here; answers that name many mails (lists, exports) and those without an id are not kept.
"""

from __future__ import annotations

import logging

from bot.chat import Place, Reply, Sent
from bot.presses import remember_asker
from models import Destination, Message
from models.database import DATABASE_FAULTS, atomically
from tracker.mail.traces import with_answer

log = logging.getLogger(__name__)


async def remember_answer(place: Place, reply: Reply, sent: Sent, asker: str | None = None) -> None:
    """Keeps where `reply` stands, if it is about one mail; and in a group, whose its buttons are.

    `asker` is the chat's id of who asked. Never raises: the answer is shown already.
    """
    if asker is not None and reply.buttons and not place.private:
        try:
            await remember_asker(place, sent.remote_id, asker)
        except DATABASE_FAULTS as error:
            log.warning("whose an answer is was not stored: %s", type(error).__name__)
    code = reply.data.get("message")
    if not isinstance(code, str) or reply.file is not None:
        return

    async def work() -> None:
        message = await Message.filter(code=code).select_for_update().first()
        if message is None:
            return
        home = await Destination.filter(
            account_id=message.account_id,
            platform=place.platform,
            workspace=place.workspace,
            chat_id=place.chat_id,
            thread_id=place.thread_id,
        ).first()
        if home is not None:
            details = with_answer(message.details, home.id, sent.remote_id)
            await Message.filter(id=message.id).update(details=details)

    try:
        await atomically(work)
    except DATABASE_FAULTS as error:
        log.warning("where an answer stands was not stored: %s", type(error).__name__)
