#![allow(clippy::duration_suboptimal_units)] // seconds, as the document counts

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::*;
use crate::document::settings::{Auth, Encoding, Format, HashAlgorithm, Listen, Schedule};
use crate::document::{Address, Desired, Source, load};
use crate::event::{EventPattern, Name, Ordering};

/// A world of variables and files.
#[derive(Default)]
struct World {
    env: BTreeMap<&'static str, &'static str>,
    files: BTreeMap<&'static str, &'static str>,
    providers: BTreeMap<String, Json>,
}

impl Lookup for World {
    fn env(&self, name: &str) -> Option<Secret> {
        self.env
            .get(name)
            .filter(|value| !value.is_empty())
            .map(|value| Secret::new(*value))
    }

    fn file(&self, path: &str) -> Result<Secret, String> {
        self.files
            .get(path)
            .map(|text| Secret::new(*text))
            .ok_or_else(|| "no such file".to_owned())
    }

    fn exec(&self, _: &str, definition: &Json, id: &str) -> Result<Secret, String> {
        let values = &definition["test"];
        values[id]
            .as_str()
            .map(Secret::new)
            .ok_or_else(|| "NOT_FOUND".to_owned())
    }

    fn provider(&self, name: &str) -> Option<&Json> {
        self.providers.get(name)
    }

    fn directory(&self) -> &Path {
        Path::new("/etc/openclaw")
    }
}

fn desired(text: &str) -> Desired {
    let loaded = load(&Source {
        path: "openclaw.yaml",
        format: crate::document::Format::Yaml,
        text: text.as_bytes(),
    });
    loaded
        .desired
        .unwrap_or_else(|| panic!("{}", crate::document::diagnostic::text(&loaded.diagnostics, false)))
}

fn outbound(fields: &str) -> Resource {
    let text = format!("webhooks:\n  outbound:\n    a: {{ url: 'https://a.example/x', {fields} }}\n");
    desired(&text).resources[&Address::Outbound(Name::parse("a").unwrap())].clone()
}

fn inbound(fields: &str) -> Resource {
    let text = format!("webhooks:\n  inbound:\n    a: {{ {fields} }}\n");
    desired(&text).resources[&Address::Inbound(Name::parse("a").unwrap())].clone()
}

fn resolve_out(fields: &str, world: &World) -> Result<crate::document::Outbound, Vec<Problem>> {
    resolve_outbound(&Name::parse("a").unwrap(), &outbound(fields), world)
}

fn problems<T>(result: Result<T, Vec<Problem>>) -> Vec<String> {
    result
        .err()
        .unwrap_or_default()
        .iter()
        .map(|p| format!("{} {} {}", p.field, p.reason.as_str(), p.message))
        .collect()
}

#[test]
fn defaults_become_settings() {
    let world = World::default();
    let desired = desired("webhooks: {}");
    let get = |address| &desired.resources[&address];
    let server = resolve_server(get(Address::Server), &world).unwrap();
    assert_eq!(server.listen, Listen::Tcp("127.0.0.1:8790".parse().unwrap()));
    assert_eq!((server.max_body_bytes, server.max_connections), (1_048_576, 10_000));
    assert_eq!(server.shutdown_timeout, Duration::from_secs(20));
    let admin = resolve_admin(get(Address::Admin), &world).unwrap();
    assert!(admin.tokens.is_empty() && admin.tls.is_none() && admin.listen.is_local());
    let store = resolve_store(get(Address::Store), &world).unwrap();
    assert_eq!(store.path, Path::new("/etc/openclaw/.openclaw-webhooks"));
    assert_eq!(store.retention, Duration::from_secs(7 * 86_400));
    let reconcile = resolve_reconcile(get(Address::Reconcile), &world).unwrap();
    assert_eq!((reconcile.manual, reconcile.max_delete_percent), (false, 30));
    let egress = resolve_egress(get(Address::Egress), &world).unwrap();
    assert_eq!((egress.max_in_flight, egress.max_per_origin), (1024, 64));

    let sender = resolve_out("", &world).unwrap();
    assert_eq!(sender.events, [EventPattern::All]);
    assert_eq!(sender.schedule.retries(), 9);
    assert_eq!(sender.retry_status_codes, [500..=599]);
    assert_eq!(sender.timeout, Duration::from_secs(10));
    assert!((sender.jitter - 0.2).abs() < 1e-9);
    assert_eq!(
        sender.breaker.map(|b| (b.failures, b.cooldown.as_secs())),
        Some((10, 30))
    );
    assert_eq!(
        (sender.concurrency, sender.ordering, sender.format),
        (16, Ordering::None, Format::Openclaw)
    );
}

#[test]
fn every_field_of_a_sender_arrives() {
    let mut world = World::default();
    world.env.extend([("S1", "one"), ("TOKEN", "t"), ("KEY", "k")]);
    world.files.extend([
        ("./s2", "two\n"),
        ("./ca.crt", "-----BEGIN CERTIFICATE-----\n"),
        ("./c.crt", "-----BEGIN CERTIFICATE-----\n"),
        ("./c.key", "-----BEGIN PRIVATE KEY-----\n"),
    ]);
    let sender = resolve_out(
        "events: [message.*, order.created], secret: [{ env: S1 }, { file: ./s2 }, literal], headers: { X-Key: '${KEY}' }, \
         auth: { bearer: { env: TOKEN } }, tls: { ca: ./ca.crt, clientCert: ./c.crt, clientKey: ./c.key }, retries: 2, \
         retryDelay: 250, backoff: fixed, maxRetryDelay: 1m, jitter: 0, maxAge: 1h, timeout: 3s, \
         retryStatusCodes: [404, 5xx, 520-530], concurrency: 2, rateLimit: 20/10s, ordering: session, circuitBreaker: false, \
         onDelete: discard, drainTimeout: 1m, paused: true, format: raw, requireHeader: 'X-Ok: yes'",
        &world,
    )
    .unwrap();
    assert_eq!(
        sender.secrets.iter().map(Secret::expose).collect::<Vec<_>>(),
        ["one", "two", "literal"]
    );
    assert_eq!(sender.headers[0].0, "X-Key");
    assert_eq!(sender.headers[0].1.expose(), "k");
    assert!(matches!(&sender.auth, Some(Auth::Bearer(token)) if token.expose() == "t"));
    assert!(sender.tls.ca.is_some() && sender.tls.identity.is_some());
    assert_eq!(
        sender.schedule,
        Schedule::Law {
            retries: 2,
            delay: Duration::from_millis(250),
            exponential: false
        }
    );
    assert_eq!(sender.retry_status_codes, [404..=404, 520..=530, 500..=599]);
    assert_eq!(sender.rate_limit.map(|r| (r.count, r.per.as_secs())), Some((20, 10)));
    assert_eq!(sender.require_header, Some(("X-Ok".to_owned(), Some("yes".to_owned()))));
    assert!(sender.breaker.is_none() && sender.paused && sender.format == Format::Raw);
    assert_eq!(sender.ordering, Ordering::Session);
}

#[test]
fn every_field_of_a_route_arrives() {
    let mut world = World::default();
    world.env.insert("SECRET", "s");
    let resource = inbound(
        "channel: c, path: /in, secret: '${SECRET}', signature: { header: X-Sig, algorithm: sha512, encoding: base64, prefix: v1=, \
         timestampHeader: X-T, tolerance: 10m, template: '{id}.{timestamp}.{body}', idHeader: X-Id, typeHeader: X-Type, typeField: a.b }, \
         maxBodyBytes: 64, rateLimit: 1/s, allowFrom: [10.0.0.1, 10.1.0.0/16], dedupeWindow: 0, paused: true",
    );
    let route = resolve_inbound(&Name::parse("a").unwrap(), &resource, &world).unwrap();
    assert_eq!(
        (route.platform, route.channel.as_str(), route.path.as_str()),
        ("generic", "c", "/in")
    );
    assert_eq!(route.secrets[0].expose(), "s");
    assert_eq!(
        (route.signature.algorithm, route.signature.encoding),
        (HashAlgorithm::Sha512, Encoding::Base64)
    );
    assert_eq!(route.signature.template.as_deref(), Some("{id}.{timestamp}.{body}"));
    assert_eq!(route.tolerance, Some(Duration::from_secs(600)));
    assert_eq!((route.max_body_bytes, route.dedupe_window), (Some(64), Duration::ZERO));
    assert_eq!(route.allow_from.len(), 2);

    let github = inbound("platform: github, secret: x");
    let route = resolve_inbound(&Name::parse("a").unwrap(), &github, &world).unwrap();
    assert_eq!(route.max_body_bytes, Some(25 * 1024 * 1024), "GitHub's own limit");
    assert!(route.verify_signature && route.url.is_none() && route.tolerance.is_none());
}

#[test]
fn references_fit_every_kind_of_field() {
    let mut world = World::default();
    world.env.extend([
        ("N", "7"),
        ("T", "1500"),
        ("P", "true"),
        ("H", "b.example"),
        ("E", "error"),
        ("J", "0.5"),
        ("EMPTY", ""),
    ]);
    let sender = resolve_out(
        "retries: '${N}', timeout: '${T}', paused: '${P}', events: ['${E}'], jitter: '${J}', retryDelay: '${EMPTY:-2s}', \
         headers: { X-Price: '$${N} and ${N}$' }",
        &world,
    )
    .unwrap();
    assert_eq!(
        sender.schedule,
        Schedule::Law {
            retries: 7,
            delay: Duration::from_secs(2),
            exponential: true
        }
    );
    assert_eq!((sender.timeout, sender.paused), (Duration::from_millis(1500), true));
    assert_eq!(sender.events, [EventPattern::parse("message.error").unwrap()]);
    assert_eq!(sender.headers[0].1.expose(), "${N} and 7$");
    let text = "webhooks:\n  outbound:\n    a: { url: 'https://${H}/x' }\n";
    let resource = &desired(text).resources[&Address::Outbound(Name::parse("a").unwrap())];
    let sender = resolve_outbound(&Name::parse("a").unwrap(), resource, &world).unwrap();
    assert_eq!(sender.url.as_str(), "https://b.example/x");
}

#[test]
fn all_problems_are_answered_at_once_and_none_holds_a_value() {
    let mut world = World::default();
    world.env.extend([
        ("BLANK", "  "),
        ("N", "hunter2"),
        ("K", "whsec_hunter2!"),
        ("LB", "hunter2\r\nX: y"),
    ]);
    world.files.extend([("./empty", "\n"), ("./no.pem", "hunter2")]);
    let found = problems(resolve_out(
        "secret: [{ env: NOPE }, '${BLANK}', { file: ./gone }, { file: ./empty }, '${K}'], timeout: '${N}', retries: '${NOPE2}', \
         events: ['${N}'], headers: { X-A: '${LB}' }, auth: { bearer: { env: NOPE3 } }, tls: { ca: ./no.pem }",
        &world,
    ));
    for expected in [
        "secret[0] SecretMissing the environment variable `NOPE` is not set",
        "secret[1] SecretMissing the secret is blank",
        "secret[2] FileUnreadable the file `./gone` cannot be read: no such file",
        "secret[3] SecretMissing the file `./empty` is blank",
        "secret Invalid what follows `whsec_` is not base64",
        "timeout Invalid what `${N}` leads to does not fit: the field takes a duration",
        "retries SecretMissing the environment variable `NOPE2`",
        "events[0] Invalid what `${N}` leads to does not fit: the field takes an event's name",
        "headers.X-A Invalid a header's value holds no line breaks",
        "auth.bearer SecretMissing the environment variable `NOPE3`",
        "tls.ca Invalid the file `./no.pem` is not PEM",
    ] {
        assert!(
            found.iter().any(|problem| problem.starts_with(expected)),
            "{expected}\n{found:#?}"
        );
    }
    assert_eq!(found.len(), 11, "{found:#?}");
    assert!(!found.join("\n").contains("hunter2"), "{found:#?}");
}

#[test]
fn what_a_reference_leads_to_must_fit_the_platform() {
    let mut world = World::default();
    world.env.extend([("KEY", "6f1c"), ("TG", "hunter2 with blanks")]);
    let discord = inbound("platform: discord, publicKey: { env: KEY }");
    let name = Name::parse("a").unwrap();
    assert_eq!(
        problems(resolve_inbound(&name, &discord, &world)),
        ["publicKey Invalid Discord's public key has 64 hex digits"]
    );
    // A literal was warned of, and lets nothing in.
    let placeholder = inbound("platform: discord, publicKey: discord-public-key");
    assert!(resolve_inbound(&name, &placeholder, &world).is_ok());
    let telegram = inbound("platform: telegram, secret: { env: TG }");
    assert_eq!(problems(resolve_inbound(&name, &telegram, &world)).len(), 1);
}

#[test]
fn an_open_admin_behind_a_reference_is_found_when_it_is_resolved() {
    let mut world = World::default();
    world.env.insert("LISTEN", "0.0.0.0:8791");
    let desired = desired("webhooks: { admin: { listen: '${LISTEN}' } }");
    let found = problems(resolve_admin(&desired.resources[&Address::Admin], &world));
    assert!(found[0].starts_with("token Invalid"), "{found:?}");
}

#[test]
fn providers_of_the_document_are_asked() {
    let text = "secrets:\n  providers:\n    vault: { source: exec, command: /bin/vault, test: { a/b: from-vault } }\n    json: { source: file, path: ./all.json, mode: json }\n    one: { source: file, path: ./one, mode: singleValue }\n    vars: { source: env }\nwebhooks:\n  outbound:\n    a:\n      url: https://a.example\n      secret:\n        - { source: exec, provider: vault, id: a/b }\n        - { source: file, provider: json, id: /x/y }\n        - { source: file, provider: one, id: value }\n        - { source: env, id: HERE }\n";
    let desired = desired(text);
    let mut world = World {
        providers: desired.providers.clone(),
        ..World::default()
    };
    world.env.insert("HERE", "from-env");
    world
        .files
        .extend([("./all.json", r#"{"x":{"y":"from-json"}}"#), ("./one", "from-file\n")]);
    let name = Name::parse("a").unwrap();
    let resource = &desired.resources[&Address::Outbound(name.clone())];
    let sender = resolve_outbound(&name, resource, &world).unwrap();
    assert_eq!(
        sender.secrets.iter().map(Secret::expose).collect::<Vec<_>>(),
        ["from-vault", "from-json", "from-file", "from-env"]
    );

    let named = references(resource, &world);
    let targets: Vec<_> = named.iter().map(|r| (r.field.as_str(), r.target.clone())).collect();
    assert_eq!(
        targets,
        [
            (
                "secret[0]",
                Target::Exec {
                    provider: "vault".to_owned(),
                    id: "a/b".to_owned()
                }
            ),
            ("secret[1]", Target::File("./all.json".to_owned())),
            ("secret[2]", Target::File("./one".to_owned())),
            ("secret[3]", Target::Env("HERE".to_owned())),
        ]
    );
    world.files.insert("./all.json", r#"{"x":{}}"#);
    world
        .providers
        .insert("vault".to_owned(), json!({ "source": "exec", "test": {} }));
    let found = problems(resolve_outbound(&name, resource, &world));
    assert_eq!(
        found,
        [
            "secret[0] ProviderFailed the provider `vault` has no `a/b`: NOT_FOUND",
            "secret[1] SecretMissing the file `./all.json` of the provider `json` has no text at `/x/y`",
        ]
    );
}

#[test]
fn a_resource_knows_what_it_names_and_what_is_secret_of_it() {
    let mut world = World::default();
    world
        .env
        .extend([("DIR", "/certs"), ("H", "b.example"), ("T", "t"), ("N", "3")]);
    world.files.extend([
        ("/certs/ca.crt", "-----BEGIN CERTIFICATE-----"),
        ("./s", "file-secret\n"),
    ]);
    let resource = outbound(
        "secret: [{ file: ./s }, literal], tls: { ca: '${DIR}/ca.crt' }, auth: { bearer: { env: T } }, retries: '${N}', \
         headers: { X-H: '${H}', X-Plain: p, X-Api-Key: lit }",
    );
    let mut named: Vec<_> = references(&resource, &world)
        .iter()
        .map(|r| format!("{} {:?}", r.field, r.target))
        .collect();
    named.sort();
    assert_eq!(
        named,
        [
            r#"auth.bearer Env("T")"#,
            r#"headers.X-H Env("H")"#,
            r#"retries Env("N")"#,
            r#"secret[0] File("./s")"#,
            r#"tls.ca Env("DIR")"#,
            r#"tls.ca File("/certs/ca.crt")"#,
        ]
    );
    let mut values: Vec<_> = (sensitive_values(&resource, &world).into_iter())
        .map(|(field, secret)| format!("{field}={}", secret.expose()))
        .collect();
    values.sort();
    assert_eq!(
        values,
        [
            "auth.bearer=t",
            "headers.X-Api-Key=lit",
            "headers.X-H=b.example",
            "retries=3",
            "secret[0]=file-secret",
            "secret[1]=literal",
            "tls.ca=-----BEGIN CERTIFICATE-----",
        ]
    );
}

#[test]
fn certificates_of_a_listener_are_read() {
    let mut world = World::default();
    let desired = desired("webhooks: { server: { listen: 'unix:./s.sock', tls: { cert: ./a.crt, key: ./a.key } } }");
    let server = &desired.resources[&Address::Server];
    assert_eq!(problems(resolve_server(server, &world)).len(), 2);
    world.files.extend([
        ("./a.crt", "-----BEGIN CERTIFICATE-----"),
        ("./a.key", "-----BEGIN PRIVATE KEY-----"),
    ]);
    let server = resolve_server(server, &world).unwrap();
    assert_eq!(server.listen, Listen::Unix("/etc/openclaw/s.sock".into()));
    assert!(server.tls.is_some());
}

#[test]
fn the_shipped_document_resolves_without_any_variable() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("openclaw.yaml")).unwrap();
    let desired = desired(&text);
    let world = World::default();
    let mut count = 0;
    for (address, resource) in &desired.resources {
        let found = match address {
            Address::Server => problems(resolve_server(resource, &world)),
            Address::Admin => problems(resolve_admin(resource, &world)),
            Address::Store => problems(resolve_store(resource, &world)),
            Address::Reconcile => problems(resolve_reconcile(resource, &world)),
            Address::Egress => problems(resolve_egress(resource, &world)),
            Address::Inbound(name) => problems(resolve_inbound(name, resource, &world)),
            Address::Outbound(name) => problems(resolve_outbound(name, resource, &world)),
        };
        assert_eq!(found, [""; 0], "{address}");
        count += 1;
    }
    assert_eq!(count, 10);
}
