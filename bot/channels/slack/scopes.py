"""What the app may do in a workspace: the least that our code needs. `deploy/slack-manifest.yaml` asks for the same."""

SCOPES = (
    "channels:read",  # who is in a public channel that was picked: conversations.members
    "chat:write",  # chat.postMessage
    "commands",  # /ally
    "files:read",  # what people send us and what staff send them: `url_private_download` of a file
    "files:write",  # files into a thread of the desk's or to a person: files.completeUploadExternal
    "groups:history",  # what staff write in the desk's private channel; conversations.history and .replies of it
    "groups:read",  # who is in a private channel that was picked, or is the desk's, and that we are in
    "im:history",  # what people write to us; conversations.history of these direct messages only
    "reactions:write",  # how far a line of staff's has come, below it
    "users:read",  # who is a bot, a guest or gone: users.list, users.info
)


def missing(granted: str) -> list[str]:
    """What an installed app lacks; `granted`: as Slack lists it, with commas."""
    return sorted(set(SCOPES) - {one.strip() for one in granted.split(",")})
