use crate::document::{Address, Desired, Diagnostic, Format, Resource, Severity, Source, load};
use crate::event::Name;

fn loaded(text: &str) -> (Option<Desired>, Vec<Diagnostic>) {
    let loaded = load(&Source {
        path: "openclaw.yaml",
        format: Format::Yaml,
        text: text.as_bytes(),
    });
    (loaded.desired, loaded.diagnostics)
}

fn desired(text: &str) -> Desired {
    let (desired, diagnostics) = loaded(text);
    desired.unwrap_or_else(|| panic!("{text}\n{}", crate::document::diagnostic::text(&diagnostics, false)))
}

fn outbound(fields: &str) -> Resource {
    let text = format!("webhooks:\n  outbound:\n    a: {{ url: 'https://a.example', {fields} }}\n");
    desired(&text).resources[&Address::Outbound(Name::parse("a").unwrap())].clone()
}

fn inbound(text: &str, name: &str) -> Resource {
    desired(text).resources[&Address::Inbound(Name::parse(name).unwrap())].clone()
}

fn shows(resource: &Resource, field: &str) -> String {
    resource
        .effective(field)
        .map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[test]
fn the_settings_are_always_there_with_their_defaults() {
    let desired = desired("webhooks: {}");
    assert_eq!(desired.resources.len(), 5);
    for (address, field, value) in [
        (Address::Server, "listen", r#""127.0.0.1:8790""#),
        (Address::Server, "maxBodyBytes", "1048576"),
        (Address::Server, "shutdownTimeout", "20s"),
        (Address::Server, "publicUrl", "-"),
        (Address::Admin, "listen", r#""127.0.0.1:8791""#),
        (Address::Admin, "token", "-"),
        (Address::Store, "engine", r#""sqlite""#),
        (Address::Store, "path", r#""./.openclaw-webhooks""#),
        (Address::Store, "retention", "7d"),
        (Address::Store, "deadRetention", "30d"),
        (Address::Reconcile, "mode", r#""auto""#),
        (Address::Reconcile, "debounce", "100ms"),
        (Address::Reconcile, "maxDelete", r#""30%""#),
        (Address::Egress, "allow", "[]"),
        (Address::Egress, "maxInFlight", "1024"),
        (Address::Egress, "maxPerOrigin", "64"),
    ] {
        assert_eq!(shows(&desired.resources[&address], field), value, "{address}.{field}");
    }
}

#[test]
fn what_is_derived_of_an_inbound_webhook() {
    let text = "webhooks:\n  server: { publicUrl: 'https://gateway.example.com/' }\n  inbound:\n    telegram: { secret: x }\n    shop: { platform: token, secret: y, path: /shop, channel: sales, url: 'https://shop.example/in' }\n";
    let telegram = inbound(text, "telegram");
    for (field, value) in [
        ("channel", r#""telegram""#),
        ("platform", r#""telegram""#),
        ("path", r#""/webhook/telegram""#),
        ("url", r#""https://gateway.example.com/webhook/telegram""#),
        ("verifySignature", "true"),
        ("dedupeWindow", "7d"),
        ("paused", "false"),
        ("rateLimit", "-"),
    ] {
        assert_eq!(shows(&telegram, field), value, "{field}");
    }
    let shop = inbound(text, "shop");
    assert_eq!(shows(&shop, "channel"), r#""sales""#);
    assert_eq!(shows(&shop, "url"), r#""https://shop.example/in""#);
    let without = inbound("webhooks:\n  inbound:\n    github: { secret: x }\n", "github");
    assert_eq!(shows(&without, "url"), "-");
}

#[test]
fn the_retry_law_and_the_schedule_replace_each_other() {
    let law = |fields: &str| {
        let resource = outbound(fields);
        ["retries", "retryDelay", "backoff", "maxRetryDelay", "retrySchedule"]
            .map(|field| shows(&resource, field))
            .join(" ")
    };
    let schedule = r#"["5s","30s","2m","10m","30m","2h","5h","10h","10h"]"#;
    assert_eq!(law(""), format!("- - - 1h {schedule}"));
    assert_eq!(law("retries: 7"), r#"7 5s "exponential" 1h -"#);
    assert_eq!(law("retryDelay: 250"), r#"3 250ms "exponential" 1h -"#);
    assert_eq!(law("backoff: fixed"), r#"3 5s "fixed" 1h -"#);
    assert_eq!(law("maxRetryDelay: 1h"), r#"3 5s "exponential" 1h -"#);
    assert_eq!(law("retrySchedule: [1s, 2000]"), r#"- - - 1h ["1s","2s"]"#);
}

#[test]
fn defaults_are_merged_and_a_webhooks_own_choice_wins_as_a_whole() {
    let text = "webhooks:\n  defaults:\n    inbound: { secret: shared, rateLimit: 5/s }\n    outbound: { timeout: 3s, retries: 9, labels: { a: b } }\n  inbound:\n    github: {}\n    discord: { publicKey: 933f9761b55d5236853ffba79e2b3aa682ad96c72c2e9838dfbbfb7504e6af2d, rateLimit: 1/s }\n  outbound:\n    plain: { url: 'https://a.example' }\n    own: { url: 'https://a.example', timeout: 4s, retryDelay: 1s, labels: { c: d } }\n    list: { url: 'https://a.example', retrySchedule: [1s] }\n";
    let desired = desired(text);
    let get = |address: &str, field: &str| shows(&desired.resources[&Address::parse(address).unwrap()], field);
    assert_eq!(get("webhooks.inbound.github", "secret"), r#""shared""#);
    assert_eq!(
        get("webhooks.inbound.discord", "secret"),
        "-",
        "a default that does not fit the platform is left out"
    );
    assert_eq!(get("webhooks.inbound.discord", "rateLimit"), r#""1/s""#);
    assert_eq!(get("webhooks.outbound.plain", "timeout"), "3s");
    assert_eq!(get("webhooks.outbound.plain", "retries"), "9");
    assert_eq!(get("webhooks.outbound.own", "timeout"), "4s");
    assert_eq!(get("webhooks.outbound.own", "retries"), "9");
    assert_eq!(get("webhooks.outbound.own", "retryDelay"), "1s");
    assert_eq!(get("webhooks.outbound.own", "labels"), r#"{"c":"d"}"#);
    assert_eq!(get("webhooks.outbound.list", "retries"), "-");
    assert_eq!(get("webhooks.outbound.list", "retrySchedule"), r#"["1s"]"#);
}

#[test]
fn resources_are_equal_exactly_when_they_mean_the_same() {
    for (one, other) in [
        ("", "timeout: 10000"),
        ("timeout: 10000", "timeout: 10s"),
        ("timeout: 90s", "timeout: 1m30s"),
        (
            "",
            "events: ['*'], paused: false, jitter: 0.20, circuitBreaker: { failures: 10 }",
        ),
        ("circuitBreaker: {}", "circuitBreaker: { cooldown: 30000 }"),
        (
            "events: [message.sent, error, message.received]",
            "events: [message.received, message.sent, message.error, message.sent]",
        ),
        ("secret: [x]", "secret: x"),
        ("secret: { source: env, id: X }", "secret: { env: X }"),
        ("retryStatusCodes: ['500-599']", "retryStatusCodes: [5XX]"),
        (
            "retryStatusCodes: [503, '500', 502]",
            "retryStatusCodes: [500, 502, '503-503']",
        ),
        ("headers: { X-A: a, X-B: b }", "headers: { X-B: b, X-A: a }"),
        ("retryDelay: 5s", "retries: 3"),
        ("retrySchedule: [5s, 30s, 2m, 10m, 30m, 2h, 5h, 10h, 10h]", ""),
    ] {
        assert_eq!(outbound(one), outbound(other), "{one} | {other}");
    }
    for (one, other) in [
        ("", "timeout: 9s"),
        ("", "retries: 3"),
        ("", "circuitBreaker: false"),
        ("secret: [x, y]", "secret: [y, x]"),
        ("secret: x", "secret: '${X}'"),
        ("headers: { X-A: a }", "headers: { x-a: a }"),
        ("retrySchedule: [1s, 2s]", "retrySchedule: [2s, 1s]"),
        ("", "description: ''"),
    ] {
        assert_ne!(outbound(one), outbound(other), "{one} | {other}");
    }
}

#[test]
fn yaml_and_json5_of_the_same_meaning_are_the_same_desired_state() {
    let yaml = desired(
        "webhooks:\n  inbound:\n    github: { secret: { env: A } }\n  outbound:\n    a: { url: 'https://a.example', retries: 3 }\n",
    );
    let text = br#"{ webhooks: { outbound: { a: { retries: 3, url: "https://a.example" } }, inbound: { github: { secret: { env: "A" } } } } }"#;
    let json = load(&Source {
        path: "openclaw.json5",
        format: Format::Json5,
        text,
    });
    assert_eq!(json.desired, Some(yaml));
}

#[test]
fn the_list_of_events_is_shown_in_the_documented_order() {
    let resource = outbound("events: [order.created, error, message.sent, '*', message.received]");
    assert_eq!(
        shows(&resource, "events"),
        r#"["*","message.received","message.sent","message.error","order.created"]"#
    );
}

#[test]
fn a_debug_print_holds_no_literal_secret() {
    let text = "webhooks:\n  inbound:\n    github: { secret: hunter2 }\n  outbound:\n    a: { url: 'https://u:hunter2@a.example/?k=hunter2', secret: [hunter2], auth: { bearer: hunter2 }, headers: { X-Api-Key: hunter2 } }\n";
    let (desired, diagnostics) = loaded(text);
    let printed = format!("{desired:?} {diagnostics:?}");
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[test]
fn other_parts_of_the_document_are_left_alone() {
    let text = "agents: !custom { a: 1 }\ngateway: [x]\n$schema: ./schema/openclaw.schema.json\nsecrets:\n  providers:\n    vault: { source: exec, command: /bin/vault }\nwebhooks: {}\n";
    let (desired, diagnostics) = loaded(text);
    assert_eq!(diagnostics, []);
    assert_eq!(desired.unwrap().providers["vault"]["command"], "/bin/vault");
}

#[test]
fn warnings_and_notes_leave_the_document_usable() {
    let text = "webhook: 1\nwebhooks:\n  admin: { listen: '0.0.0.0:1', token: x }\n  inbound:\n    telegram: { verifySignature: false }\n";
    let (desired, diagnostics) = loaded(text);
    assert!(desired.is_some());
    let codes: Vec<_> = diagnostics.iter().map(|d| (d.code.as_str(), d.severity)).collect();
    let warning = |code| (code, Severity::Warning);
    assert_eq!(
        codes,
        [
            warning("OC108"),
            warning("OC152"),
            ("OC155", Severity::Note),
            warning("OC150")
        ]
    );
}

#[test]
fn aliases_and_merge_keys_reach_the_webhooks() {
    let text = "x-base: &base { url: 'https://a.example', secret: &s hunter2, timeout: 3s }\nwebhooks:\n  outbound:\n    one: *base\n    two: { <<: *base, timeout: 4s, headers: { X-A: *s } }\n";
    let desired = desired(text);
    let get = |name: &str, field: &str| {
        shows(
            &desired.resources[&Address::Outbound(Name::parse(name).unwrap())],
            field,
        )
    };
    assert_eq!(get("one", "timeout"), "3s");
    assert_eq!(get("two", "timeout"), "4s");
    assert_eq!(get("two", "url"), r#""https://a.example""#);
}

#[test]
fn a_fault_in_an_anchor_hides_the_anchors_secret() {
    let text = "x-base: &base { secret: hunter2, retires: 3, url: 'https://a.example' }\nwebhooks:\n  outbound:\n    one: *base\n    two: *base\n";
    let (_, diagnostics) = loaded(text);
    assert_eq!(diagnostics.len(), 2, "once for each webhook that uses it");
    let text = crate::document::diagnostic::text(&diagnostics, true);
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn thousands_of_webhooks_load() {
    use std::fmt::Write as _;
    let mut text = "webhooks:\n  inbound:\n".to_owned();
    for i in 0..10_000 {
        writeln!(text, "    r{i}: {{ platform: github, secret: {{ env: S{i} }} }}").unwrap();
    }
    text.push_str("  outbound:\n");
    for i in 0..10_000 {
        writeln!(
            text,
            "    s{i}:\n      url: https://a{i}.example\n      from: [r{i}]\n      retries: 3"
        )
        .unwrap();
    }
    assert_eq!(desired(&text).resources.len(), 20_005);
}

#[test]
fn a_format_brings_its_own_defaults_and_ones_own_words_win() {
    let shown = |fields: &str| {
        let resource = outbound(fields);
        [
            "retries",
            "retryDelay",
            "backoff",
            "maxRetryDelay",
            "timeout",
            "ordering",
        ]
        .map(|field| shows(&resource, field))
    };
    let agent = "format: agent-hook, auth: { bearer: t }";
    assert_eq!(shown("format: slack"), ["-", "-", "-", "1h", "10s", r#""none""#]);
    assert_eq!(shown(agent), ["12", "5s", r#""exponential""#, "1m", "20s", r#""none""#]);
    assert_eq!(shown(&format!("{agent}, agentHook: {{ wait: true }}"))[4], "10m");
    assert_eq!(
        shown(&format!("{agent}, retries: 2, timeout: 7s, maxRetryDelay: 5m")),
        ["2", "5s", r#""exponential""#, "5m", "7s", r#""none""#]
    );
    assert_eq!(shown(&format!("{agent}, retrySchedule: [1s]"))[0], "-");
    let text = "webhooks:\n  inbound: { telegram: { secret: t } }\n  outbound:\n    a: { url: 'https://a.example', format: forward, from: [telegram] }\n";
    let forward = desired(text).resources[&Address::Outbound(Name::parse("a").unwrap())].clone();
    assert_eq!(
        ["retries", "maxRetryDelay", "timeout", "ordering"].map(|field| shows(&forward, field)),
        ["12", "1m", "15s", r#""session""#]
    );
}

#[test]
fn a_default_of_another_format_is_left_out() {
    let text = "webhooks:\n  defaults: { outbound: { text: '{{data.message}}', timeout: 3s } }\n  outbound:\n    a: { url: 'https://a.example' }\n    b: { url: 'https://b.example', format: teams }\n";
    let desired = desired(text);
    let of = |name, field| {
        shows(
            &desired.resources[&Address::Outbound(Name::parse(name).unwrap())],
            field,
        )
    };
    assert_eq!((of("a", "text"), of("a", "timeout")), ("-".into(), "3s".into()));
    assert_eq!(of("b", "text"), r#""{{data.message}}""#);
}

#[test]
fn a_chats_url_is_shown_as_scheme_and_host_and_nothing_else_of_it() {
    let resource = outbound("format: slack").shown("url");
    assert_eq!(resource.unwrap().to_string(), r#""https://a.example""#);
    let unknown = outbound("format: '${FORMAT}'").shown("url");
    assert_eq!(unknown.unwrap().to_string(), r#""https://a.example""#);
    let text = "webhooks:\n  defaults: { outbound: { format: slack } }\n  outbound:\n    a: { url: 'https://a.example/T0/hunter2' }\n    b: { url: 'ftp://a.example/T0/hunter2', retires: 3 }\n";
    let (_, diagnostics) = loaded(text);
    assert_eq!(diagnostics.len(), 2);
    for found in [
        format!("{diagnostics:?}"),
        crate::document::diagnostic::text(&diagnostics, false),
    ] {
        assert!(!found.contains("hunter2"), "{found}");
    }
    let resource = desired("webhooks:\n  outbound:\n    a: { url: 'https://a.example/T0/hunter2', format: slack }\n")
        .resources[&Address::Outbound(Name::parse("a").unwrap())]
        .clone();
    assert!(!format!("{resource:?}").contains("hunter2"));
}

#[test]
fn a_slip_in_a_member_is_a_note() {
    let (desired, diagnostics) = loaded(
        "webhooks:\n  outbound:\n    a: { url: 'https://a.example', filter: 'data.usr == 1 and data.order.id and data.chatId' }\n",
    );
    assert!(desired.is_some());
    let [note] = diagnostics.as_slice() else {
        panic!("{diagnostics:?}")
    };
    assert_eq!((note.severity, note.line, note.column), (Severity::Note, 3, 45));
    assert!(note.to_string().contains("did you mean `data.user`?"), "{note}");
}

#[test]
fn a_key_in_the_place_of_its_path_is_an_error_that_does_not_show_it() {
    for tls in [
        "{ clientKey: '-----BEGIN PRIVATE KEY----- hunter2', clientCert: ./c }",
        "\n        clientCert: ./c\n        clientKey: |\n          -----BEGIN PRIVATE KEY-----\n          hunter2",
    ] {
        let text = format!("webhooks:\n  outbound:\n    a:\n      url: https://a.example\n      tls: {tls}\n");
        let (desired, diagnostics) = loaded(&text);
        assert!(desired.is_none(), "{text}");
        let shown = crate::document::diagnostic::text(&diagnostics, false);
        assert!(
            shown.contains("its path is wanted here") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}

#[test]
fn what_names_nothing_in_a_reference_is_shown_nowhere() {
    for (secret, shown) in [
        ("{ env: hunter2 }", "this is not the name of a variable"),
        ("{ source: env, id: hunter2 }", "this is not the name of a variable"),
        ("{ env: 'hunter2-A', file: ./x }", "a reference of no known form"),
        ("{ enw: A, env: hunter2 }", "a reference has no `enw`"),
        ("{ hunter2 }", "a reference has no such member"),
        ("{ exec: hunter2 }", "a reference has no `exec`"),
        ("{ file: \"one\\nhunter2\" }", "not the secret itself"),
        (
            "{ file: '-----BEGIN PRIVATE KEY----- hunter2' }",
            "not the secret itself",
        ),
        (
            "{ source: exec, provider: vault, id: '-----BEGIN KEY----- hunter2' }",
            "not the secret itself",
        ),
        (
            "{ source: exec, provider: 'Hunter hunter2', id: x }",
            "this provider is not in",
        ),
        ("{ source: hunter2, id: x }", "none of the sources"),
        ("{ env: { hunter2: 1 } }", "`env` of a reference is a text"),
        ("{ env: [hunter2] }", "`env` of a reference is a text"),
        ("'${hunter2}'", "a `${…}` in this text is no reference"),
    ] {
        let text = format!(
            "secrets: {{ providers: {{ vault: {{ source: exec, command: /bin/vault }} }} }}\nwebhooks:\n  outbound:\n    a: {{ url: 'https://a.example', secret: {secret} }}\n"
        );
        let (_, diagnostics) = loaded(&text);
        let said = crate::document::diagnostic::text(&diagnostics, false);
        assert!(said.contains(shown), "{secret}: {said}");
        for found in [said.to_lowercase(), format!("{diagnostics:?}").to_lowercase()] {
            assert!(!found.contains("hunter2"), "{secret}: {found}");
        }
    }
}

#[test]
fn of_a_url_with_a_token_no_part_is_told_as_a_reference() {
    let (_, diagnostics) = loaded("webhooks:\n  outbound:\n    a: { url: 'https://a.example/?k=${hunter2}' }\n");
    let said = crate::document::diagnostic::text(&diagnostics, false);
    assert!(
        said.contains("OC156") && !said.to_lowercase().contains("hunter2"),
        "{said}"
    );
    let (_, diagnostics) = loaded("webhooks:\n  outbound:\n    a: { url: 'https://a.example/${place}' }\n");
    let said = crate::document::diagnostic::text(&diagnostics, false);
    assert!(said.contains("did you mean `${PLACE}`?"), "{said}");
}

#[test]
fn a_providers_time_limit_that_is_not_kept_to_is_a_warning() {
    for (provider, told) in [
        ("source: exec, timeoutMs: 60000", None),
        ("source: exec, command: /bin/vault", None),
        ("source: file, timeoutMs: 60001", None),
        (
            "source: exec, timeoutMs: 120000",
            Some("120000 ms is longer than a provider may take: it is ended after 60000 ms"),
        ),
        (
            "source: exec, timeoutMs: '5000'",
            Some("no whole number of milliseconds: 5000 ms counts instead"),
        ),
    ] {
        let text =
            format!("secrets: {{ providers: {{ vault: {{ args: [hunter2], {provider} }} }} }}\nwebhooks: {{}}\n");
        let (desired, diagnostics) = loaded(&text);
        assert!(desired.is_some(), "a warning refuses nothing");
        let said = crate::document::diagnostic::text(&diagnostics, false);
        assert_eq!(diagnostics.len(), usize::from(told.is_some()), "{said}");
        assert!(
            told.is_none_or(|told| said.contains(told) && diagnostics[0].code.as_str() == "OC161"),
            "{said}"
        );
        assert!(
            diagnostics
                .iter()
                .all(|found| found.path == "secrets.providers.vault.timeoutMs"),
            "{said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }
}
