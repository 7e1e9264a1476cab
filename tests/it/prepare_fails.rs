//! Whatever cannot be prepared leaves all as it was; at a start it degrades one resource by itself.

use std::fs;
use std::net::TcpListener;

use crate::harness::{Gateway, Receiver, Request, document, eventually};
use crate::load::{SECRET, github};

const GOOD: &str = "  reconcile: { debounce: 20ms }\n  inbound:\n    github: { secret: it-secret }\n";

#[test]
fn a_failing_prepare_at_each_step_leaves_all_as_it_was() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let receiver = Receiver::start();
    let gateway = Gateway::start(&document(GOOD));
    let also = "    other: { platform: token, secret: fine }\n";
    let cases = [
        (
            "a missing secret of a route",
            format!("{GOOD}{also}    bad: {{ platform: token, secret: {{ env: NOT_SET_ANYWHERE }} }}\n"),
        ),
        (
            "a missing secret of a sender",
            format!(
                "{GOOD}{also}  outbound:\n    bad: {{ url: \"{}\", secret: {{ file: ./absent }} }}\n",
                receiver.url("/")
            ),
        ),
        (
            "a missing client certificate",
            format!(
                "{GOOD}{also}  outbound:\n    bad: {{ url: \"{}\", tls: {{ ca: ./absent.pem }} }}\n",
                receiver.url("/")
            ),
        ),
        (
            "an address that egress refuses",
            format!("{GOOD}{also}  outbound:\n    bad: {{ url: \"http://10.1.2.3/\" }}\n"),
        ),
    ];
    for (what, text) in cases {
        gateway.save(&document(&text));
        unchanged(&gateway, what);
    }
    for (what, server) in [
        ("an address in use", format!("{{ listen: \"{taken}\" }}")),
        (
            "a missing certificate",
            "{ listen: \"127.0.0.1:0\", tls: { cert: ./absent.crt, key: ./absent.key } }".to_owned(),
        ),
    ] {
        let text = document(&format!("{GOOD}{also}")).replacen("{ listen: \"127.0.0.1:0\" }", &server, 1);
        gateway.save(&text);
        unchanged(&gateway, what);
    }
    gateway.save_and_wait(&document(&format!("{GOOD}{also}")));
    assert_eq!(Request::post("/webhook/other", "{}").send(gateway.public).status, 401);
}

fn unchanged(gateway: &Gateway, what: &str) {
    eventually(what, || {
        let status = gateway.status();
        let failed = status["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .any(|c| c["reason"] == "PrepareFailed");
        failed.then_some(())
    });
    assert_eq!(gateway.generation(), 1, "{what}");
    assert_eq!(
        github("/webhook/github", what).send(gateway.public).status,
        200,
        "{what}"
    );
    assert_eq!(
        Request::post("/webhook/other", "{}").send(gateway.public).status,
        404,
        "{what}: nothing half done"
    );
    // Each case begins from a document that is applied.
    gateway.save(&document(GOOD));
    eventually("the good document is in force again", || {
        let status = gateway.status();
        let applied = status["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .any(|c| c["type"] == "Applied" && c["status"] == "True");
        applied.then_some(())
    });
}

#[test]
fn a_missing_secret_at_a_start_degrades_one_route_until_its_file_comes() {
    let text = document(&format!(
        "  reconcile: {{ debounce: 20ms }}\n  inbound:\n    github: {{ secret: {SECRET} }}\n    late: {{ platform: token, secret: {{ file: ./late.secret }} }}\n"
    ));
    let gateway = Gateway::start(&text);
    let late = || {
        Request::post("/webhook/late", "{}")
            .header("Authorization", "Bearer now")
            .send(gateway.public)
    };
    assert_eq!(late().status, 503);
    assert_eq!(
        github("/webhook/github", "others-serve").send(gateway.public).status,
        200
    );
    let route = gateway.json("/v1/webhooks/inbound/late");
    assert_eq!(route["conditions"][0]["reason"], "SecretMissing", "{route}");
    // A change elsewhere does not fail because of it.
    gateway.save_and_wait(&text.replace("    late:", "    more: { platform: token, secret: t }\n    late:"));
    fs::write(gateway.path("late.secret"), "now").unwrap();
    eventually("the route serves", || (late().status == 200).then_some(()));
}

#[test]
fn a_changed_secret_file_takes_effect_in_place() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("token"), "one").unwrap();
    let text = document(
        "  reconcile: { debounce: 20ms }\n  inbound:\n    t: { platform: token, secret: { file: ./token } }\n",
    );
    fs::write(dir.path().join("openclaw.yaml"), text).unwrap();
    let gateway = Gateway::start_in(dir.into(), Vec::new());
    let with = |token: &str| {
        Request::post("/webhook/t", "{}")
            .header("Authorization", format!("Bearer {token}"))
            .send(gateway.public)
            .status
    };
    assert_eq!((with("one"), with("two")), (200, 401));
    fs::write(gateway.path("token"), "two").unwrap();
    eventually("the new secret holds", || (with("two") == 200).then_some(()));
    assert_eq!(with("one"), 401);
    assert_eq!(gateway.json("/v1/generations")["items"][0]["cause"], "secret-file");
}

#[test]
fn a_second_gateway_on_the_same_store_names_the_first() {
    let gateway = Gateway::start(&document(GOOD));
    let Err(output) = Gateway::try_start_in(gateway.dir.clone(), Vec::new()) else {
        panic!("a second gateway started")
    };
    assert!(output.contains(&gateway.pid().to_string()), "{output}");
}

#[test]
fn two_routes_with_one_path_behind_references_are_refused() {
    let text = |second: &str| {
        document(&format!(
            "  reconcile: {{ debounce: 20ms }}\n  inbound:\n    one: {{ platform: token, secret: t, path: \"/${{NOT_SET:-same}}\" }}\n    two: {{ platform: token, secret: t, path: \"/${{NOT_SET_EITHER:-{second}}}\" }}\n"
        ))
    };
    let gateway = Gateway::start(&text("other"));
    assert_eq!(Request::post("/same", "{}").send(gateway.public).status, 401);
    let status = gateway.status();
    let consistent = status["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["type"] == "RoutesConsistent")
        .unwrap();
    assert_eq!(consistent["status"], "True", "{consistent}");
    gateway.save(&text("same"));
    eventually("it is refused", || {
        gateway
            .output()
            .contains("webhooks.inbound.one has /same already")
            .then_some(())
    });
    assert_eq!(gateway.generation(), 1);
}
