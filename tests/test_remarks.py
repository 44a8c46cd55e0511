"""What people say besides answers, as they type it."""

import pytest

from flows.remarks import remark

SAID = {
    "greeting": """
        hi|Hello there!|good morning|hey|Oi!|oi, tudo bem?|olá, bom dia 😊|Boa noite|hola|¿Qué tal?|Hola, buenas tardes
        👋👋
    """,
    "thanks": """
        thanks!|Thank you|many thanks|obrigada|Muito obrigado!|valeu|gracias|Muchas gracias 🙏|🙏
    """,
    "who": """
        who are you?|are you a robot?|are you a robot or a person|Is this a bot|am I talking to a real person?
        who is this|quem é você?
        vc é um robô?|você é uma pessoa ou um robô?|estou falando com um robô?|com quem eu falo?
        ¿quién eres?|¿eres un robot?|eres humano|¿hablo con una persona?|¿con quién hablo?
    """,
    "unsure": """
        I don't know|i dont know it|don\u2019t remember|I'm not sure|no idea|idk|I forgot it|I don't know which one
        não sei|nao lembro|sei lá|não faço ideia|não sei qual é|Esqueci, desculpa|não me lembro
        no sé|no se|no lo sé|No me acuerdo|ni idea|no sé cuál es|no tengo idea|no recuerdo
    """,
    "no_password": """
        I forgot my password|i don't know the password|I can't remember my password|lost my password
        esqueci a senha|não lembro da senha|não sei minha senha|perdi a senha
        no me acuerdo de la clave|olvidé mi contraseña|no sé la contraseña|se me olvidó la contraseña
    """,
    "no_link": """
        the link didn't arrive|the link doesn\u2019t open|the link doesnt work|I never got a link|I cannot see any link
        link expired|where is the link?|send me the link again|another link please|I lost the link
        não chegou o link|o link não abre|O link não está abrindo|não recebi nenhum link|o link expirou|cadê o link?
        perdi o link|manda o link de novo|me manda outro link|quero um novo link
        no me llegó el enlace|el enlace no abre|no recibí el enlace|no encuentro el enlace|el link no me sirve
        não abre|não funciona aqui|não chegou nada|não recebi|it doesn't open|I can't open it|it did not arrive
        doesnt work|no se me abre|no me llegó nada|no abre|no funciona|a mí no me llegó
        el enlace ya venció|¿dónde está el enlace?|mándame otro enlace|perdí el enlace|el enlace caducó
    """,
    "no_code": """
        I have no code|I don't have an invitation|never got an invite|without a code|where do I get the code?
        não tenho código|não recebi o convite|sem convite|onde acho o código?|perdi meu código
        no tengo código|no me llegó la invitación|sin código|¿dónde está mi código?|perdí el código
    """,
    "later": """
        later|I'm busy now|not now|I'll do it later|maybe another time
        depois|agora não|estou ocupada, faço depois|vejo isso mais tarde|agora não posso
        luego|ahora no puedo|estoy ocupada, sigo luego|lo hago más tarde|después lo veo
    """,
    None: """
        Girafa#22 later|agora não Girafa22
        hi, thanks for nothing|hi123|hola22|higirafa|oi_oi|good|thanks but it does not work|bom dia, não funciona
        is the link safe?|what is this link|I don't want to click on links|I am not sure about the link
        mylink not working|can I open the link on my computer?|where do I find my password
        does the link expire?|what happens later
        o link é seguro?|por que preciso abrir um link?|não quero clicar em link|não confio nesse link
        posso abrir o link no computador?|o que acontece depois|meu código é 1234|quem vê a minha senha?
        ¿es seguro el enlace?|no quiero abrir enlaces|no llegan mis correos|¿cuánto dura el enlace?|no se abre la página
        no se guarda la contraseña|no sé, creo que es mail.sol.test|não sei, acho que é 465|¿qué pasa después?
        não abri a empresa ainda|no llegan mis correos|it works
        are you sure?|who sees my password?|quién ve mi contraseña|i forgot to tell you something
        I do not know what to do|não sei o que fazer|no sé qué hacer
    """,
}


@pytest.mark.parametrize(
    ("said", "kind"),
    [(said.strip(), kind) for kind, block in SAID.items() for said in block.strip().replace("\n", "|").split("|")],
)
def test_a_short_message_says_this_besides_an_answer(said, kind):
    assert remark(said) == kind


@pytest.mark.parametrize("said", ["hi " * 21, "the link did not come, " * 3, "x " * 40 + "later"])
def test_a_long_message_says_more_than_that(said):
    assert remark(said) is None
