//! How shops write the mails that bring a code: subjects and phrases, by shop and language.
//!
//! Texts are patterns of the `regex` crate without case; a space stands for any white space. A new language or a new
//! wording is a line here and a family in `tests/fixtures/mail/generate.py`.

use crate::mail::senders::{Brand, Sender};

/// How one shop writes in one language.
pub(super) struct Format {
    /// Subjects, whole, but for the shop's name before or after and the code itself.
    pub(super) subjects: &'static [&'static str],
    /// What stands before a code. Between it and the code is punctuation only.
    pub(super) leads: &'static [&'static str],
    /// What stands after a code. Between the code and it is punctuation only.
    pub(super) trails: &'static [&'static str],
}

/// What one shop sends.
pub(super) struct Shop {
    /// Its name as subjects spell it.
    pub(super) name: &'static str,
    /// How long its codes are, in digits.
    pub(super) digits: &'static [usize],
    /// How it writes, by language.
    pub(super) formats: &'static [Format],
}

/// The mails of a sender; Google mails no codes.
pub(super) const fn shop(sender: Sender) -> Option<&'static Shop> {
    match sender {
        Sender::Retailer(Brand::Aliexpress) => Some(&ALIEXPRESS),
        Sender::Retailer(Brand::Amazon) => Some(&AMAZON),
        Sender::Retailer(Brand::Costco) => Some(&COSTCO),
        Sender::Retailer(Brand::Walmart) => Some(&WALMART),
        Sender::Sandbox => Some(&SANDBOX),
        Sender::Google => None,
    }
}

const AMAZON: Shop = Shop {
    name: "amazon",
    digits: &[6],
    formats: &[
        // English.
        Format {
            subjects: &[
                "(?:your )?(?:amazon(?:\\.[a-z.]+)? )?(?:account )?(?:verification|security|authentication|sign-?in) code",
                "(?:your )?(?:amazon(?:\\.[a-z.]+)? )?(?:one[- ]time (?:password|passcode|code)|otp|code)(?: \\(otp\\))?",
                "sign-?in: your (?:otp|code)",
                "(?:new )?sign-?in attempt",
                "security alert: (?:new )?sign-?in attempt(?: detected)?",
                "action (?:needed|required): (?:verify your )?sign-?in(?: attempt)?",
                "verify (?:your identity|it's you|your sign-?in(?: attempt)?)",
                "is your amazon (?:otp|(?:verification|security|sign-?in) code|one[- ]time (?:password|passcode))",
            ],
            leads: &[
                "(?:verification|security|authentication|sign-?in) (?:code|passcode|password)(?: \\(otp\\))?(?: is)?",
                "one[- ]time (?:code|passcode|password|pin)(?: \\(otp\\))?(?: is)?",
                "\\botp(?: code)?(?: is)?",
                "(?:use|enter) (?:(?:the following|this) (?:(?:verification|security|one[- ]time) )?(?:code|passcode|password)|the code below)(?: \\(otp\\))?(?: (?:to|on|when|in|for)\\b[^:.0-9]{0,80})?",
                "(?:the|your) code(?: is| below)?",
            ],
            trails: &[
                "is your (?:amazon )?(?:account )?(?:(?:verification|security|authentication|sign-?in) (?:code|passcode)|otp|one[- ]time (?:password|passcode|code))",
                "(?:enter|use) this code to (?:sign|log) in",
            ],
        },
        // Spanish.
        Format {
            subjects: &[
                "(?:tu|su) (?:código de (?:verificación|seguridad|acceso)|contraseña de un solo uso)(?: de amazon(?:\\.[a-z.]+)?)?",
                "código de (?:verificación|seguridad)(?: de amazon(?:\\.[a-z.]+)?)?",
                "tu código(?: de)? amazon",
                "(?:nuevo )?intento de inicio de sesión",
                "alerta de seguridad: intento de inicio de sesión",
                "verifica tu identidad",
                "es (?:tu|su) (?:código de verificación|contraseña de un solo uso)(?: de amazon)?",
            ],
            leads: &[
                "(?:código de (?:verificación|seguridad|acceso)|contraseña de un solo uso|contraseña temporal)(?: de amazon)?(?: \\(otp\\))?(?: es)?",
                "(?:usa|utiliza|utilice|ingresa|introduce|introduzca) el siguiente código(?: (?:para|en|de)\\b[^:.0-9]{0,80})?",
                "(?:tu|su) código(?: es)?",
            ],
            trails: &[
                "es (?:tu|su) (?:código de (?:verificación|seguridad)|contraseña de un solo uso)",
            ],
        },
        // German.
        Format {
            subjects: &[
                "(?:(?:dein|ihr) )?(?:amazon[- ])?(?:verifizierungs|bestätigungs|sicherheits|anmelde)?code(?: (?:von|für|bei) amazon(?:\\.[a-z.]+)?)?",
                "(?:(?:dein|ihr) )?(?:amazon[- ])?einmal(?:passwort|kennwort|code)",
                "(?:neuer )?anmeldeversuch",
                "sicherheitswarnung: anmeldeversuch",
                "(?:bestätige deine|bestätigen sie ihre) (?:identität|anmeldung)",
                "ist (?:dein|ihr) (?:amazon[- ])?(?:einmalpasswort|(?:verifizierungs|bestätigungs|sicherheits)code)",
            ],
            leads: &[
                "(?:verifizierungs|bestätigungs|sicherheits|anmelde)code(?: von amazon)?(?: lautet| ist)?",
                "einmal(?:passwort|kennwort|code)(?: \\(otp\\))?(?: lautet| ist)?",
                "(?:folgenden|diesen) code(?: (?:ein|für|zur|zum)\\b[^:.0-9]{0,60})?(?:,? um [^:.0-9]{0,80})?",
                "(?:dein|ihr) code(?: lautet| ist)?",
            ],
            trails: &[
                "ist (?:dein|ihr) (?:amazon[- ])?(?:einmal(?:passwort|kennwort|code)|(?:verifizierungs|bestätigungs|sicherheits|anmelde)code)",
            ],
        },
        // French.
        Format {
            subjects: &[
                "(?:votre|ton) (?:code de (?:vérification|sécurité|validation)|mot de passe à usage unique)(?: amazon(?:\\.[a-z.]+)?)?",
                "code de (?:vérification|sécurité)(?: amazon)?",
                "votre code amazon",
                "(?:nouvelle )?tentative (?:d'identification|de connexion)",
                "alerte de sécurité ?: tentative (?:d'identification|de connexion)",
                "(?:vérifiez|confirmez) votre identité",
                "est votre (?:code de vérification|mot de passe à usage unique)(?: amazon)?",
            ],
            leads: &[
                "(?:code de (?:vérification|sécurité|validation)|mot de passe à usage unique)(?: amazon)?(?: \\(otp\\))?(?: est)?",
                "(?:utilisez|saisissez|entrez) le code (?:suivant|ci-dessous)(?: (?:pour|afin|sur)\\b[^:.0-9]{0,80})?",
                "votre code(?: est)?",
            ],
            trails: &[
                "est votre (?:code de (?:vérification|sécurité)|mot de passe à usage unique)",
            ],
        },
        // Italian.
        Format {
            subjects: &[
                "(?:il tuo |la tua )?(?:codice di (?:verifica|sicurezza|accesso)|password (?:monouso|temporanea|usa e getta))(?: (?:di )?amazon(?:\\.[a-z.]+)?)?",
                "il tuo codice amazon",
                "(?:nuovo )?tentativo di accesso",
                "avviso di sicurezza: tentativo di accesso",
                "verifica la tua identità",
                "è (?:il tuo codice di verifica|la tua password monouso)(?: amazon)?",
            ],
            leads: &[
                "(?:codice di (?:verifica|sicurezza|accesso)|password (?:monouso|temporanea|usa e getta))(?: (?:di )?amazon)?(?: \\(otp\\))?(?: è)?",
                "(?:usa|utilizza|inserisci|immetti) il seguente codice(?: (?:per|su|nella)\\b[^:.0-9]{0,80})?",
                "il tuo codice(?: è)?",
            ],
            trails: &["è (?:il tuo codice di (?:verifica|sicurezza)|la tua password monouso)"],
        },
        // Japanese.
        Format {
            subjects: &[
                "(?:amazon(?:\\.co\\.jp)?(?:の|から(?:の)?)? ?)?(?:確認|認証|セキュリティ)コード(?:のお知らせ)?",
                "(?:amazon(?:\\.co\\.jp)?の? ?)?ワンタイムパスワード(?: ?\\(otp\\))?(?:のお知らせ)?",
                "(?:新しい)?サインイン(?:の)?(?:試行|の試み)(?:が検出されました)?",
                "(?:セキュリティ警告: ?)?サインイン(?:の)?試行が検出されました",
                "本人確認(?:のお願い)?",
                "amazonアカウントへのサインイン(?:の確認)?",
                "(?:が|は)(?:お客様の)?(?:amazonの?)?(?:確認コード|ワンタイムパスワード)です",
            ],
            leads: &[
                "(?:確認|認証|セキュリティ)コード(?: ?\\(otp\\))?(?:は(?:次のとおりです)?)?",
                "ワンタイムパスワード(?: ?\\(otp\\))?(?:は(?:次のとおりです)?)?",
                "(?:次|以下)のコードを(?:使用|入力|ご利用|ご入力)[^:。0-9]{0,40}",
                "コードは(?:次のとおりです)?",
            ],
            trails: &[
                "(?:が|は)(?:お客様の)?(?:amazonの?)?(?:(?:確認|認証)コード|ワンタイムパスワード)",
            ],
        },
        // Portuguese.
        Format {
            subjects: &[
                "(?:(?:o )?seu )?código de (?:verificação|segurança|acesso)(?: da amazon(?:\\.[a-z.]+)?)?",
                "(?:sua )?senha (?:de uso único|única|descartável)(?: da amazon)?",
                "(?:nova )?tentativa de (?:login|acesso|início de sessão)",
                "alerta de segurança: tentativa de (?:login|acesso)",
                "(?:verifique|confirme) (?:a )?sua identidade",
                "é (?:o )?seu código de verificação(?: da amazon)?",
            ],
            leads: &[
                "(?:código de (?:verificação|segurança|acesso)|senha (?:de uso único|única|descartável))(?: da amazon)?(?: \\(otp\\))?(?: é)?",
                "(?:use|utilize|insira|digite) o (?:seguinte código|código a seguir|código abaixo)(?: (?:para|em|no)\\b[^:.0-9]{0,80})?",
                "seu código(?: é)?",
            ],
            trails: &[
                "é (?:o )?(?:seu código de (?:verificação|segurança)|sua senha de uso único)",
            ],
        },
        // Dutch.
        Format {
            subjects: &[
                "(?:(?:je|jouw|uw) )?(?:amazon[- ])?(?:verificatie|beveiligings|inlog)code(?: (?:van|voor) amazon(?:\\.[a-z.]+)?)?",
                "(?:je |jouw |uw )?(?:amazon[- ])?eenmalig(?:e)? (?:wachtwoord|code|toegangscode)",
                "(?:nieuwe )?(?:inlogpoging|aanmeldpoging)",
                "beveiligingswaarschuwing: (?:inlogpoging|aanmeldpoging)",
                "(?:verifieer|bevestig) (?:je|uw) identiteit",
                "is (?:je|jouw|uw) (?:amazon[- ])?(?:verificatiecode|eenmalig wachtwoord)",
            ],
            leads: &[
                "(?:verificatie|beveiligings|inlog)code(?: van amazon)?(?: is| luidt)?",
                "eenmalige? (?:wachtwoord|code|toegangscode)(?: \\(otp\\))?(?: is| luidt)?",
                "(?:gebruik|voer) de (?:volgende|onderstaande) code(?: (?:om|in|voor)\\b[^:.0-9]{0,80})?",
                "(?:je|jouw|uw) code(?: is)?",
            ],
            trails: &["is (?:je|jouw|uw) (?:amazon[- ])?(?:verificatiecode|eenmalig wachtwoord)"],
        },
    ],
};

const WALMART: Shop = Shop {
    name: "walmart",
    digits: &[6],
    formats: &[
        // English.
        Format {
            subjects: &[
                "(?:here's )?(?:your )?(?:walmart(?:\\.[a-z]+)? )?(?:account )?(?:(?:verification|security|sign-?in|one[- ]time) )?(?:code|passcode)",
                "(?:walmart )?verification code",
                "sign in to your walmart account",
                "is your (?:walmart )?(?:verification|sign-?in) code",
            ],
            leads: &[
                "(?:verification|security|sign-?in|one[- ]time) (?:code|passcode)(?: is)?",
                "(?:use|enter) (?:the following|this|the) (?:(?:verification|one[- ]time|6-digit) )?code(?: (?:to|on|when|in|for|below)\\b[^:.0-9]{0,80})?",
                "your code(?: is)?",
            ],
            trails: &[
                "is your (?:walmart )?(?:verification|security|sign-?in|one[- ]time) (?:code|passcode)",
            ],
        },
        // Spanish.
        Format {
            subjects: &["(?:tu|su) código de verificación(?: de walmart)?"],
            leads: &[
                "código de (?:verificación|seguridad)(?: de walmart)?(?: es)?",
                "(?:tu|su) código(?: es)?",
            ],
            trails: &["es (?:tu|su) código de verificación"],
        },
    ],
};

const COSTCO: Shop = Shop {
    name: "costco",
    digits: &[6],
    formats: &[
        // English.
        Format {
            subjects: &[
                "(?:your )?costco(?:\\.(?:com|ca|co\\.uk)| wholesale)? (?:account )?(?:email )?verification code",
                "your (?:costco )?(?:account )?(?:verification|security|sign-?in) code",
                "verify your (?:identity|sign-?in)",
            ],
            leads: &[
                "(?:verification|security|sign-?in|one[- ]time) (?:code|passcode)(?: is)?",
                "(?:use|enter) (?:the following|this|the) (?:verification )?code(?: (?:to|on|when|in|for|below)\\b[^:.0-9]{0,80})?",
                "your code(?: is)?",
            ],
            trails: &["is your (?:costco )?(?:verification|security|sign-?in) code"],
        },
        // French.
        Format {
            subjects: &["(?:votre )?code de vérification(?: (?:de )?costco)?"],
            leads: &[
                "code de (?:vérification|sécurité)(?: costco)?(?: est)?",
                "votre code(?: est)?",
            ],
            trails: &["est votre code de vérification"],
        },
        // Spanish.
        Format {
            subjects: &["(?:tu|su) código de verificación(?: de costco)?"],
            leads: &["código de verificación(?: de costco)?(?: es)?", "(?:tu|su) código(?: es)?"],
            trails: &["es (?:tu|su) código de verificación"],
        },
    ],
};

const ALIEXPRESS: Shop = Shop {
    name: "aliexpress",
    digits: &[6, 4],
    formats: &[
        // English.
        Format {
            subjects: &[
                "(?:your )?(?:aliexpress )?(?:account )?(?:verification|security|sign-?in|login) code",
                "(?:email )?verification code(?: for (?:your )?aliexpress(?: account)?)?",
                "is your (?:aliexpress )?verification code",
            ],
            leads: &[
                "(?:verification|security|sign-?in|login) code(?: is)?",
                "(?:use|enter) (?:the following|this|the) (?:verification )?code(?: (?:to|on|when|in|for|below)\\b[^:.0-9]{0,80})?",
                "your code(?: is)?",
            ],
            trails: &["is your (?:aliexpress )?(?:verification|security|login) code"],
        },
        // Spanish.
        Format {
            subjects: &["(?:tu |su )?código de verificación(?: de aliexpress)?"],
            leads: &[
                "código de verificación(?: de aliexpress)?(?: es)?",
                "(?:tu|su) código(?: es)?",
            ],
            trails: &["es (?:tu|su) código de verificación"],
        },
        // French.
        Format {
            subjects: &["(?:votre )?code de vérification(?: (?:de )?aliexpress)?"],
            leads: &[
                "code de vérification(?: (?:de )?aliexpress)?(?: est)?",
                "votre code(?: est)?",
            ],
            trails: &["est votre code de vérification"],
        },
        // Portuguese.
        Format {
            subjects: &["(?:(?:o )?seu )?código de verificação(?: (?:do|da) aliexpress)?"],
            leads: &["código de verificação(?: (?:do|da) aliexpress)?(?: é)?", "seu código(?: é)?"],
            trails: &["é (?:o )?seu código de verificação"],
        },
    ],
};

/// As `functions/src/sandbox` writes it.
const SANDBOX: Shop = Shop {
    name: "sandbox",
    digits: &[6],
    formats: &[
        // English.
        Format {
            subjects: &["your sandbox verification code"],
            leads: &["your verification code is"],
            trails: &[],
        },
    ],
};

/// Words for a code, in all languages.
pub(super) const CODE: &str = "\\bcode\\b|code\\b|\\botp\\b|passcode|one[- ]time|\\bpin\\b|código|codigo|codice|un solo uso|uso único|usage unique|\
     monouso|einmal(?:passwort|kennwort)|eenmalig|コード|ワンタイム|暗証番号";

/// What a mail with a code is about, if not about a sign-in: a password that is reset, a delivery. Looked for in the
/// subject, in all that stands before the code, and in the sentences that name a code.
pub(super) const OTHER_SUBJECTS: &[&str] = &[
    // Passwords.
    "password (?:assistance|reset|recovery|help)|(?:reset|recover|forg[eo]t|chang|restor)[^ .]*[^.]{0,30}\\bpassword",
    "(?:restabl|recuper|olvid|asistencia|ayuda|cambi)[^ .]*[^.]{0,30}contraseña",
    "(?:passwort|kennwort)[^.]{0,30}(?:zurück|hilfe|vergessen|änder|unterstützung)|(?:zurücks|vergess|änder)[^ .]*[^.]{0,30}(?:passwort|kennwort)",
    "(?:réinitialis|récupér|oubli|assistance|modifi|chang)[^ .]*[^.]{0,30}mot de passe|mot de passe oublié",
    "(?:reimpost|ripristin|recuper|dimenticat|assistenza|cambi|modific)[^ .]*[^.]{0,30}password|password dimenticata",
    "パスワード(?:の|を)?(?:再設定|リセット|アシスタンス|変更|お忘れ)",
    "(?:redefin|recuper|esquec|assistência|ajuda|alter)[^ .]*[^.]{0,30}senha",
    "wachtwoord(?:hulp| vergeten| opnieuw| herstel| wijzig)|(?:herstel|reset|wijzig)[^ .]*[^.]{0,30}wachtwoord",
    // Deliveries.
    "\\bdeliver(?:y|ies)\\b|\\bpackage\\b|\\bparcel\\b|\\bdriver\\b|\\bcourier\\b|\\bpick-?up\\b|\\blocker\\b",
    "\\bentrega\\b|\\bpaquete\\b|repartidor|recoger|mensajero",
    "lieferung|zustell|\\bpaket\\b|\\bsendung\\b|\\bfahrer|abholung",
    "livraison|livreur|\\bcolis\\b|retrait",
    "consegna|\\bpacco\\b|corriere|ritiro",
    "配達|配送|お届け(?:物|予定|先|日)|荷物",
    "entregador|\\bpacote\\b|encomenda|retirada",
    "bezorg|\\bpakket\\b|chauffeur|ophalen",
];

/// What else a sentence may say that its code is for: a gift, a payment, what the account is known by.
pub(super) const OTHER_PURPOSES: &[&str] = &[
    "gift ?card|\\bclaim code|\\bcoupon|promo(?:tion)?(?:al)? code|geschenkkarte|gutschein|carte cadeau|buono regalo|tarjeta de regalo|cartão-presente|cadeaubon|ギフト",
    "(?:verif|confirm|approv|authori[sz])[^ .]* [^.]{0,20}\\b(?:card|payment|purchase|transaction)\\b",
    "(?:creat|regist|welcome)[^ .]*[^.]{0,30}\\baccount\\b|\\bnew (?:amazon |walmart |costco |aliexpress )?account",
    "(?:chang|updat)[^ .]* (?:your |the )?(?:e-?mail|phone|mobile)|\\bnew (?:e-?mail|phone|mobile)",
];

/// Words that turn a sentence round: "never give it to a driver", "if you did not ask for it, change your password".
pub(super) const NEGATIONS: &str = "\\bnever\\b|\\bnot\\b|n't\\b|\\bno one\\b|\\bnobody\\b|\\bnunca\\b|\\bno\\b|\\bnie\\b|\\bniemals\\b|\\bnicht\\b|\\bniemand|\
     \\bkeine|\\bjamais\\b|\\bpas\\b|\\bmai\\b|\\bnon\\b|\\bnão\\b|\\bnooit\\b|\\bniet\\b|\\bnie(?:t|mand)|ない|しません|せん|ずに|\\botherwise\\b|\\bsinon\\b|\\bandernfalls\\b|\\bansonsten\\b|\\baltrimenti\\b|\\bcontrário\\b|\\bcontrario\\b";
