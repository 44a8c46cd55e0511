"""What can be said in the answer to a webhook: no request of ours, no status, so only what may be lost.

https://www.twilio.com/docs/messaging/twiml
"""

from twilio.twiml.messaging_response import MessagingResponse


def answer(words: str) -> str:
    """An answer to Twilio that says something to the person who wrote."""
    response = MessagingResponse()
    response.message(words)
    return str(response)
