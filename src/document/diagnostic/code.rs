//! The closed list of codes, each with what `openclaw explain` says of it.

use super::Severity;

/// Makes [`Code`] and its table, so that a code without an explanation does not compile.
macro_rules! codes {
    ($($variant:ident $text:literal $severity:ident $title:literal $explanation:literal;)*) => {
        /// Which rule a diagnostic is about. Codes are never given a second meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $title] $variant,)*
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code as it is printed: `OC102`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// What diagnostics of this code are.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }

            /// The rule in a few words.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// What it means and how to mend it, for `openclaw explain`.
            #[must_use]
            pub fn explanation(self) -> &'static str {
                match self { $(Self::$variant => $explanation,)* }
            }
        }
    };
}

codes! {
    Syntax "OC101" Error "the text is not well-formed"
        "The document is no well-formed YAML, JSON or JSON5, so nothing in it could be read. The position is where the reader \
         gave up; the mistake is there or shortly before: a missing quote, bracket or colon, a tab used as indentation in \
         YAML, a key that is not indented like its neighbours.";
    UnknownField "OC102" Error "unknown field"
        "Inside `webhooks` every field has a fixed name, and a name that is not known is an error: a typing mistake must not \
         be silently ignored. The hint names the nearest field; `openclaw schema` prints them all. Names are case-sensitive \
         (`publicKey`, not `publickey`). Notes of your own go into `description` and `labels`.";
    DuplicateKey "OC103" Error "the same key twice"
        "A mapping has the same key twice. Most readers would silently take the last one; here it is an error, because one \
         of the two is a mistake. Remove one, or give two webhooks different names.";
    Limit "OC104" Error "the document is too large or too deep"
        "A document may have 64 MiB, nest 128 levels deep, and its YAML aliases may repeat at most 256 MiB of content. \
         Beyond that it is refused, because a small file can otherwise be made to fill all memory.";
    Encoding "OC105" Error "the text is not UTF-8"
        "Documents are UTF-8, with or without a byte order mark. Save the file as UTF-8: the position is the first byte that \
         is not. UTF-16, as some Windows editors write it, is not read.";
    DocumentCount "OC106" Error "not exactly one document"
        "A file holds exactly one document. An empty file (or one with comments alone) is never taken for \"delete \
         everything\", and a second document after `---` would be ambiguous. To remove all webhooks write `webhooks: {}`.";
    NoWebhooks "OC107" Error "there is no `webhooks`"
        "Everything of the gateway is under the top-level key `webhooks`. A document without it is an error, not \"delete \
         everything\". To remove all webhooks write `webhooks: {}`, and apply it with `openclaw apply --allow-deletes`.";
    NearMiss "OC108" Warning "a top-level key that looks like a mistake"
        "Top-level keys other than `webhooks` belong to other parts of OpenClaw and are left alone. This one looks as if it \
         was meant for the gateway: it resembles `webhooks`, or it is a field of `webhooks` that stands one level too high.";
    IncludeReserved "OC109" Error "`include` is reserved"
        "`include` is reserved for documents that are made of several files. This version reads one file.";
    WrongType "OC110" Error "wrong type"
        "The field holds another type of value than it can take. In YAML, `no`, `on`, `yes` and `01234` are texts and \
         `12345`, `true` and `null` are not: put a text that looks like a number or a boolean into quotes.";
    OutOfRange "OC111" Error "number out of range"
        "The number is smaller or larger than the field can take. The message names both bounds.";
    Duration "OC112" Error "not a duration"
        "A duration is an integer (milliseconds) or a text of numbers with the units `ms`, `s`, `m`, `h`, `d`: `5000`, \
         `5s`, `1m30s`, `7d`.";
    Rate "OC113" Error "not a rate"
        "A rate is a count and a unit of time: `50/s`, `1000/m`, `100000/d`, or `20/10s`.";
    Network "OC114" Error "not a network"
        "A network is an address or a CIDR: `10.0.0.0/8`, `192.168.1.7`, `fd00::/8`. `egress.allow` takes host names too.";
    Url "OC115" Error "not a usable URL"
        "A URL begins with `http://` or `https://`, names a host, and has no fragment (`#…`).";
    EventName "OC116" Error "not an event name"
        "Events are lower-case words joined by dots: `message.received`, `message.sent`, `message.error` (or `error`), \
         `channel.connected`, `channel.disconnected`, `agent.switched`, `system.started`, `system.stopped`, \
         `webhook.received`, the gateway's own `gateway.…`, or a name of your own that you publish through the API. \
         `message.*` and `*` are wildcards. A name that is close to a known one is taken for a typing mistake.";
    WebhookName "OC117" Error "not a webhook's name"
        "A webhook's name has 1 to 63 characters of `a-z`, `0-9`, `.`, `_`, `-`, and begins with a letter or a digit.";
    Reference "OC118" Error "a reference of the wrong form"
        "A secret is a text, `\"${NAME}\"`, `{env: NAME}`, `{file: path}`, or `{source: env|file|exec, provider: …, id: …}`. \
         Names of environment variables are `[A-Z_][A-Z0-9_]*`. A provider must be described in the document's \
         `secrets.providers`. What has not the form of a name is not shown: it may be the secret itself.";
    RoutePath "OC119" Error "not a path for a route"
        "The path of a route begins with `/` and has no query, no fragment, no blanks, no `//` and no `.` or `..` as a \
         segment.";
    Header "OC120" Error "not a usable header"
        "A header's name is a token of letters, digits and `-`. Headers that the gateway makes itself (`X-OpenClaw-*`, \
         `webhook-*`, `traceparent`), `Host`, `Content-Length`, `Content-Type`, hop-by-hop headers, `Forwarded`, `X-Forwarded-*` and \
         `X-Real-IP` cannot be set by hand. Values hold no line breaks.";
    Listen "OC121" Error "not an address to listen on"
        "An address to listen on is an IP address and a port (`127.0.0.1:8790`, `[::1]:8790`, `0.0.0.0:8790`), \
         `localhost:PORT`, or `unix:PATH`.";
    Choice "OC122" Error "not one of the choices"
        "The field takes one of a few fixed words. The message lists them.";
    StatusCode "OC123" Error "not a status code"
        "Status codes are numbers from 100 to 599 (`503`), classes (`5xx`) or ranges (`520-530`).";
    InvalidText "OC124" Error "the text does not fit the field"
        "The text has a form that this field, or this platform, cannot use. Telegram's secret has 1 to 256 characters of \
         `A-Z a-z 0-9 _ -`; what follows `whsec_` is base64.";
    Tag "OC125" Error "a YAML tag that means nothing here"
        "The only YAML tags that are understood are those of the core schema: `!!str`, `!!int`, `!!bool`, `!!float`, \
         `!!null`, `!!map`, `!!seq`.";
    Blank "OC126" Error "no value"
        "The field is there, but blank. Give it a value or leave it out; `{}` is an empty mapping, `[]` an empty list. A \
         blank secret counts as missing.";
    PathTaken "OC130" Error "two routes with the same path"
        "Each inbound webhook has a path of its own (by default `/webhook/<name>`). Give one of the two another `path`.";
    Missing "OC131" Error "a required field is missing"
        "An outbound webhook needs `url`. An inbound webhook needs what its platform's signature is checked with: `secret`, \
         `publicKey`, `verifyToken`, … The message names it. `verifySignature: false` switches the check off, with a warning: \
         then anybody who knows the URL can send events.";
    DoesNotFit "OC132" Error "the field does not fit"
        "The platform of this inbound webhook has no use for this field, so it is probably meant for another one, or the \
         platform is another than you think: it follows from the webhook's name where `platform` is not given. Of outbound \
         webhooks, `text` belongs to the chat formats, `chatId` to telegram, `agentHook` to agent-hook.";
    UnknownPlatform "OC133" Error "unknown platform"
        "`platform` names how requests are verified and read. A source that is not in the list is `generic` (an HMAC \
         signature in a header), `standard` (Standard Webhooks), `token` or `basic`.";
    UnknownInbound "OC134" Error "no such inbound webhook"
        "`from` lists the inbound webhooks whose events a sender gets. This name is not in `webhooks.inbound`.";
    Exclusive "OC135" Error "fields that exclude each other"
        "Two fields say the same thing in two ways. `retrySchedule` lists the delays one by one; `retries`, `retryDelay`, \
         `backoff` and `maxRetryDelay` describe them by a law. `auth` is either `bearer` or `basic`.";
    OpenAdmin "OC136" Error "the admin API would be open to the network"
        "`admin.listen` can be reached from other machines and `admin.token` is missing: anybody could read and change \
         everything. Set a token, or listen on loopback or a unix socket.";
    PreviousName "OC137" Error "`previousName` is not free"
        "`previousName` says which name this webhook had before, so that its backlog and history move with it. The old name \
         must be gone from the document, and only one webhook can follow it.";
    Expression "OC138" Error "not an expression"
        "`filter` is one expression, `body`, `text` and `agentHook.message` are texts with expressions in `{{…}}`, in the \
         language of Jinja. They see `event`, `id`, `timestamp`, `source` and `data`, and nothing else: \
         `data.chatId == \"42\"`, `{{data.userName or data.user}}`. The position is the place inside of the text. \
         docs/formats.md has the language and its bounds.";
    NotYet "OC139" Error "not supported by this version yet"
        "The field, value or platform is part of the document's language, but this version does not carry it out yet. It is \
         refused rather than ignored. Leave it out, or install a version that has it.";
    AddressTaken "OC140" Error "server and admin listen on the same address"
        "The admin API is never served on the public listener: give `server.listen` and `admin.listen` different addresses.";
    Unverified "OC150" Warning "signatures are not checked"
        "`verifySignature: false`: anybody who knows the URL can send events, and they are marked `\"verified\": false`. \
         Meant for a first try only.";
    WeakPlatform "OC151" Warning "the platform's scheme proves little"
        "The platform does not sign its requests' bodies, or proves itself with a fixed token alone: whoever learns the \
         token can forge events. Restrict the senders with `allowFrom` where you can. `plan` and `webhooks show` say it too.";
    AdminWithoutTls "OC152" Warning "the admin API without TLS"
        "`admin.listen` can be reached from other machines, and its token would cross the network in clear. Set \
         `admin.tls`, or put a proxy with TLS before it.";
    AssistantsFile "OC153" Warning "this is an assistant's own file"
        "The document has top-level keys of the OpenClaw assistant. The assistant does not know `webhooks`: its `config \
         validate` says `Unrecognized key: \"webhooks\"`, its gateway refuses to start, and `openclaw doctor --fix` deletes \
         the key. Keep the webhooks in an `openclaw.yaml` beside it, which the assistant never reads.";
    UserInfo "OC154" Warning "a password in a URL"
        "The URL holds a user name or password. It is masked wherever it is shown, but it is in the document. Use `auth` \
         with a reference instead.";
    TelegramPolling "OC155" Note "Telegram's webhook and an assistant that polls"
        "In polling mode OpenClaw calls Telegram's `deleteWebhook` at every start, and this route goes silent. On the \
         OpenClaw that has this bot, set `channels.telegram.webhookUrl`.";
    LooksLikeReference "OC156" Warning "looks like a reference, but is text"
        "References are `${NAME}` and `${NAME:-default}`, with names of `[A-Z_][A-Z0-9_]*`. Anything else after a `$` stays \
         as it is. Where that is meant, write `$${` to say so for upper-case names; otherwise mend the name.";
    UnknownMember "OC157" Note "a member that looks like a slip"
        "A filter or template looks at a member of `data` that none of the gateway's own events has, and that resembles one \
         that they have. Events that you publish through the API may have it; otherwise it is a slip: a filter takes it for \
         undefined, which equals nothing, and a template fails on it.";
    UnsignedBody "OC158" Note "the proof does not cover the body"
        "The platform has no better scheme than a token that is sent along with every request over TLS, whatever the body is: \
         Telegram's is always the same, Google's and Microsoft's hold for about an hour. Whoever sees one request, in a \
         proxy's log of headers for instance, can send any other while the token holds. `allowFrom` with the platform's \
         networks makes up for it.";
    UnusableKey "OC159" Warning "a public key that verifies nothing"
        "Discord's public key has 64 hex digits, that of Standard Webhooks is `whpk_` and the base64 of 32 bytes. A text of \
         another form, such as a placeholder, lets nothing in: without another key each request to this route is answered \
         401, and `openclaw webhooks logs` says that no key can verify it. Put the platform's own key in its place. (What a \
         reference leads to must have the right form: otherwise the gateway keeps what it runs.)";
    Unresolved "OC160" Error "a reference does not resolve here"
        "Only `openclaw validate --resolve` and the gateway itself look at where a reference leads: a variable that is not \
         set, a file that cannot be read, a provider that has no such id, or a value that does not fit its field. Set the \
         variable (in the process or in the `.env` beside the document), or write the file.";
    ProviderTimeout "OC161" Warning "a provider's time limit that is not kept to"
        "`timeoutMs` of an exec provider in `secrets.providers` is a whole number of milliseconds, 5000 where it is left out. More than \
         60000 is cut to that: the gateway's reconciles and its stop wait for a provider. What is no such number counts as left out.";
    TooMany "OC199" Note "more diagnostics than are shown"
        "At most 1,000 diagnostics are shown at once. Mend these first.";
}

impl Code {
    /// Reads a code, in either case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.as_str().eq_ignore_ascii_case(text))
    }
}
