"""Everything dies, again and again, while people write: what was promised has to hold nevertheless.

`python -m tests.chaos --seed N` starts PostgreSQL, two web processes and two workers, stand-ins for Twilio and a mail
server, and people who write mails in the chat; kills, freezes and disturbs all of it for a while; lets it settle; and
compares what was put in with transcripts, promises, the stand-in's log and the mailboxes (`audit`).
"""
