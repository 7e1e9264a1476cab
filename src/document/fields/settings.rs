//! Rows of `server`, `admin`, `store`, `reconcile`, `egress`.

use super::{DAY, Field, Form, HOUR, Kind, LONGEST, MINUTE, SECOND, field};

static SERVER_TLS: [Field; 2] = [
    field(
        "cert",
        Kind::Form(Form::File),
        "",
        "./tls.crt",
        "PEM file of the certificate chain; watched.",
    ),
    field(
        "key",
        Kind::Form(Form::File),
        "",
        "./tls.key",
        "PEM file of the private key; watched.",
    ),
];

static CA: [Field; 1] = [field(
    "ca",
    Kind::Form(Form::File),
    "",
    "./ca.crt",
    "PEM file of certificates to trust.",
)];

pub(super) static SERVER: [Field; 7] = [
    field(
        "listen",
        Kind::Form(Form::Listen),
        "127.0.0.1:8790",
        "0.0.0.0:8790",
        "Address of the public listener, or unix:PATH; a change rebinds in place.",
    ),
    field(
        "publicUrl",
        Kind::Form(Form::BaseUrl),
        "",
        "https://gateway.example.com",
        "How the gateway is reached from outside; the default `url` of an inbound webhook is this and its path.",
    ),
    field(
        "tls",
        Kind::Object(&SERVER_TLS),
        "",
        "{ cert: ./tls.crt, key: ./tls.key }",
        "TLS, where the gateway ends it itself.",
    ),
    field(
        "maxBodyBytes",
        Kind::Integer { min: 1, max: 1 << 30 },
        "1048576",
        "2097152",
        "Largest body that is accepted, in bytes; a platform may have a larger default of its own (github: 25 MiB).",
    ),
    field(
        "maxConnections",
        Kind::Integer { min: 1, max: 1_000_000 },
        "10000",
        "20000",
        "Most connections open at once.",
    ),
    field(
        "trustedProxies",
        Kind::Set(&Kind::Form(Form::Network)),
        "[]",
        "[10.0.0.0/8]",
        "Networks of proxies whose X-Forwarded-For is believed.",
    ),
    field(
        "shutdownTimeout",
        Kind::Duration { min: 0, max: HOUR },
        "20s",
        "30s",
        "How long requests and attempts in flight may take after SIGTERM, all together; what is left then is cut, and the gateway ends within 5 s.",
    ),
];

pub(super) static ADMIN: [Field; 4] = [
    field(
        "listen",
        Kind::Form(Form::Listen),
        "127.0.0.1:8791",
        "unix:./openclaw.sock",
        "Address of the admin listener, or unix:PATH.",
    ),
    field(
        "token",
        Kind::Secret,
        "",
        "{ env: OPENCLAW_ADMIN_TOKEN }",
        "Bearer token of the API; required unless `listen` is loopback or a unix socket.",
    )
    .sensitive(),
    field(
        "tls",
        Kind::Object(&SERVER_TLS),
        "",
        "{ cert: ./admin.crt, key: ./admin.key }",
        "TLS of the admin listener; the commands trust the authorities of the system, or those in the PEM file that SSL_CERT_FILE names.",
    ),
    field(
        "allowedHosts",
        Kind::Set(&Kind::Form(Form::Host)),
        "[]",
        "[gateway.internal]",
        "Host names beside the listen address and localhost (against DNS rebinding).",
    ),
];

static POSTGRES: [Field; 3] = [
    field(
        "url",
        Kind::Secret,
        "",
        "{ env: DATABASE_URL }",
        "Connection URL; several hosts are allowed.",
    )
    .sensitive(),
    field(
        "tls",
        Kind::Object(&CA),
        "",
        "{ ca: ./db-ca.crt }",
        "TLS of the database connection.",
    ),
    field(
        "maxConnections",
        Kind::Integer { min: 1, max: 1000 },
        "16",
        "32",
        "Most connections to the database.",
    ),
];

pub(super) static STORE: [Field; 6] = [
    field(
        "engine",
        Kind::Choice {
            now: &["sqlite"],
            later: &["postgres"],
        },
        "sqlite",
        "sqlite",
        "The store: sqlite is embedded; postgres is shared by several gateways.",
    )
    .forces_replace(),
    field(
        "path",
        Kind::Form(Form::Path),
        "./.openclaw-webhooks",
        "/var/lib/openclaw",
        "Data directory of sqlite, locked by one gateway; from the document's directory.",
    )
    .forces_replace(),
    field(
        "postgres",
        Kind::NotYet(&Kind::Object(&POSTGRES)),
        "",
        "{ url: { env: DATABASE_URL } }",
        "The PostgreSQL database of engine postgres.",
    )
    .forces_replace(),
    field(
        "retention",
        Kind::Duration {
            min: SECOND,
            max: LONGEST,
        },
        "7d",
        "14d",
        "How long settled events and attempts are kept; never touches what is still owed to a sender.",
    ),
    field(
        "deadRetention",
        Kind::Duration {
            min: SECOND,
            max: LONGEST,
        },
        "30d",
        "90d",
        "How long dead letters are kept.",
    ),
    field(
        "maxBytes",
        Kind::Integer { min: 0, max: i64::MAX },
        "0",
        "10737418240",
        "Most bytes on disk; beyond, new events get 503. 0: no bound.",
    ),
];

pub(super) static RECONCILE: [Field; 3] = [
    field(
        "mode",
        Kind::Choice {
            now: &["auto", "manual"],
            later: &[],
        },
        "auto",
        "manual",
        "auto: a saved file is applied at once; manual: it waits for `openclaw apply`.",
    ),
    field(
        "debounce",
        Kind::Duration { min: 1, max: MINUTE },
        "100ms",
        "500ms",
        "How long a file must stand still before it is read.",
    ),
    field(
        "maxDelete",
        Kind::Form(Form::Percent),
        "30%",
        "10%",
        "Largest share of at least 10 resources that an automatic reconcile may delete; more is held.",
    ),
];

pub(super) static EGRESS: [Field; 3] = [
    field(
        "allow",
        Kind::Set(&Kind::Form(Form::NetworkOrHost)),
        "[]",
        "[127.0.0.1/32, 10.1.0.0/16, receiver.internal]",
        "Networks or hosts that outbound URLs may reach although private, loopback or link-local.",
    ),
    field(
        "maxInFlight",
        Kind::Integer { min: 1, max: 65_536 },
        "1024",
        "256",
        "Most attempts in flight, all senders together, shared out fairly.",
    ),
    field(
        "maxPerOrigin",
        Kind::Integer { min: 1, max: 65_536 },
        "64",
        "16",
        "Most attempts in flight to one origin (scheme, host, port).",
    ),
];

/// Bounds that inbound and outbound share.
pub(super) const DRAIN: Kind = Kind::Duration { min: 0, max: 30 * DAY };
