//! Routes: what is refused when it is prepared, and what outlives a change.

use super::*;
use crate::inbound::fake::{Stage, inbound};

fn put(stage: &Stage, name: &str, path: &str) -> RouteChange {
    let mut settings = inbound(name, "token");
    settings.path = path.into();
    RouteChange::Put(stage.routes.prepare(settings).unwrap())
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

#[test]
fn two_routes_swap_their_paths_in_one_commit() {
    let stage = Stage::new();
    stage
        .routes
        .commit(vec![put(&stage, "a", "/1"), put(&stage, "b", "/2")]);
    stage
        .routes
        .commit(vec![put(&stage, "a", "/2"), put(&stage, "b", "/1")]);
    assert_eq!(stage.routes.answers("/1"), Some(name("b")));
    assert_eq!(stage.routes.answers("/2"), Some(name("a")));
}

#[test]
fn a_route_that_moves_or_goes_leaves_no_path_behind() {
    let stage = Stage::new();
    stage
        .routes
        .commit(vec![put(&stage, "a", "/1"), put(&stage, "b", "/2")]);
    stage
        .routes
        .commit(vec![put(&stage, "a", "/3"), RouteChange::Remove(name("b"))]);
    assert_eq!(stage.routes.answers("/1"), None);
    assert_eq!(stage.routes.answers("/2"), None);
    assert_eq!(stage.routes.answers("/3"), Some(name("a")));
    assert_eq!(stage.routes.figures(&name("b")), None);
}

#[test]
fn counters_outlive_updates_degradation_and_a_new_name() {
    let stage = Stage::new();
    stage.routes.commit(vec![put(&stage, "a", "/1")]);
    stage
        .routes
        .route_named(&name("a"))
        .unwrap()
        .state
        .counters
        .accept(1, 0, false, 5);
    let before = stage.routes.figures(&name("a"));
    stage.routes.commit(vec![put(&stage, "a", "/2")]);
    assert_eq!(stage.routes.figures(&name("a")), before);
    stage.routes.commit(vec![RouteChange::Degraded {
        name: name("a"),
        path: "/2".into(),
        reason: "SecretMissing".into(),
    }]);
    assert_eq!(stage.routes.figures(&name("a")), before);
    let RouteChange::Put(route) = put(&stage, "b", "/2") else {
        unreachable!()
    };
    let renamed = RouteChange::Put(route.renamed_from(name("a")));
    stage.routes.commit(vec![RouteChange::Remove(name("a")), renamed]);
    assert_eq!(stage.routes.figures(&name("b")), before);
    assert_eq!(stage.routes.figures(&name("a")), None);
    assert_eq!(stage.routes.answers("/2"), Some(name("b")));
    assert_eq!(before.unwrap().accepted, 1);
}

#[test]
fn what_cannot_work_is_said_when_it_is_prepared() {
    let stage = Stage::new();
    let problem = |change: &dyn Fn(&mut Inbound), platform| {
        let mut settings = inbound("x", platform);
        change(&mut settings);
        stage.routes.prepare(settings).unwrap_err().to_string()
    };
    let no_secret = |settings: &mut Inbound| settings.secrets.clear();
    for (platform, build) in platform::PLATFORMS {
        let mut settings = inbound("x", platform);
        settings.secrets.clear();
        assert!(build(&settings).is_err(), "{platform} verifies nothing without keys");
        settings.verify_signature = false;
        assert!(
            build(&settings).is_ok(),
            "{platform} needs no keys where it verifies nothing"
        );
    }
    assert!(problem(&no_secret, "github").starts_with("webhooks.inbound.x.secret: "));
    assert!(problem(&|_| {}, "discord").starts_with("webhooks.inbound.x.publicKey: "));
    assert!(problem(&|_| {}, "basic").starts_with("webhooks.inbound.x.username: "));
    assert!(problem(&|_| {}, "whatsapp").starts_with("webhooks.inbound.x.verifyToken: "));
    assert!(problem(&|_| {}, "generic").starts_with("webhooks.inbound.x.signature.header: "));
    assert!(problem(&|_| {}, "fax").contains("it knows basic, "));
    let verify_token = |s: &mut Inbound| s.verify_tokens = vec![crate::secret::Secret::new("t")];
    let wecom = |change: &dyn Fn(&mut Inbound)| {
        problem(
            &|s| {
                verify_token(s);
                s.encrypt_keys = vec![crate::secret::Secret::new("k".repeat(43))];
                s.corp_id = Some("ww".into());
                change(s);
            },
            "wecom",
        )
    };
    assert!(problem(&|_| {}, "feishu").starts_with("webhooks.inbound.x.encryptKey: "));
    assert!(problem(&|_| {}, "wecom").starts_with("webhooks.inbound.x.verifyToken: "));
    assert!(wecom(&|s| s.encrypt_keys.clear()).starts_with("webhooks.inbound.x.encryptKey: "));
    assert!(wecom(&|s| s.encrypt_keys = vec![crate::secret::Secret::new("k".repeat(42))]).contains("43 characters"));
    assert!(wecom(&|s| s.corp_id = None).starts_with("webhooks.inbound.x.corpId: "));
    assert!(problem(&|_| {}, "twilio").starts_with("webhooks.inbound.x.url: "));
    assert!(problem(&|_| {}, "googlechat").starts_with("webhooks.inbound.x.audience: "));
    let jwks = |s: &mut Inbound| {
        s.audience = Some("a".into());
        s.jwks = Some(crate::document::settings::Jwks::Inline("{}".into()));
    };
    assert!(problem(&jwks, "msteams").starts_with("webhooks.inbound.x.jwks: "));
    let secret = |text: &'static str| move |s: &mut Inbound| s.secrets = vec![crate::secret::Secret::new(text)];
    for (platform, bad) in [
        ("telegram", "a b"),
        ("standard", "whsec_***"),
        ("openclaw", "whsec_***"),
        ("gitlab", "whsec_***"),
        ("zalo", "short!!"),
    ] {
        let said = problem(&secret(bad), platform);
        assert!(
            said.starts_with("webhooks.inbound.x.secret: ") && !said.contains(bad),
            "{said}"
        );
    }
}
