//! Damaged requests: whatever is done to a right one, nothing panics, nothing is a 5xx, and nothing is accepted whose
//! verified bytes are others.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use http_body_util::Full;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use tokio::runtime::Runtime;

use super::fake::Stage;
use super::vector_tests::{Case, differences, groups, request, send, settings, stage};
use crate::document::Inbound;
use crate::inbound::platform::PLATFORMS;

/// What is done to a request.
#[derive(Debug, Clone)]
enum Damage {
    /// A byte of the body becomes another one.
    Body(Index, u8),
    /// The body ends early.
    Cut(Index),
    /// A byte of a header's value becomes another one.
    Header(Index, Index, u8),
    /// A header comes twice, the first or the second time with another value.
    Twice(Index, Index, u8),
    /// A header is missing.
    Missing(Index),
    /// A byte of the query becomes another one.
    Query(Index, u8),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), 1..=255_u8).prop_map(|(at, flip)| Damage::Body(at, flip)),
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), any::<Index>(), 1..=255_u8).prop_map(|(which, at, flip)| Damage::Header(which, at, flip)),
        (any::<Index>(), any::<Index>(), 1..=255_u8).prop_map(|(which, at, flip)| Damage::Twice(which, at, flip)),
        any::<Index>().prop_map(Damage::Missing),
        (any::<Index>(), 1..=255_u8).prop_map(|(at, flip)| Damage::Query(at, flip)),
    ]
}

/// Every vector of every platform.
fn vectors() -> Vec<Case> {
    PLATFORMS
        .iter()
        .flat_map(|(platform, _)| groups(platform))
        .flatten()
        .collect()
}

/// Whether a vector makes events as it is. Of one that does not, damage can take away what is wrong with it.
fn is_accepted(case: &Case) -> bool {
    case.expect.status < 300 && !case.expect.events.is_empty()
}

/// Whether the proof of a case does not hold for this body.
fn disproves(case: &Case, route: &Inbound, body: &[u8]) -> bool {
    let has = |name: &str| case.request.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    match case.platform.as_str() {
        "telegram" | "token" | "basic" | "bluebubbles" | "openclaw-cron" | "zalo" | "dingtalk" | "googlechat"
        | "msteams" => false,
        "gitlab" => has("webhook-signature"),
        // The token inside is all the proof where nothing is encrypted.
        "feishu" => case.inbound.contains_key("encryptKey"),
        // The token is inside.
        "mattermost" | "synology-chat" => {
            let holds = |secret: &[u8]| body.windows(secret.len()).any(|window| window == secret);
            !route.secrets.iter().any(|secret| holds(secret.expose_bytes()))
        }
        _ => !signs_what_is_read(case),
    }
}

/// Whether the proof covers what is read of the body, not each byte: WeCom's `Encrypt`, Twilio's decoded fields.
fn signs_what_is_read(case: &Case) -> bool {
    matches!(case.platform.as_str(), "wecom" | "twilio")
}

/// Whether the value of a header is part of the proof: then another one must be refused.
fn proves(case: &Case, route: &Inbound, header: &str) -> bool {
    let header = header.to_ascii_lowercase();
    let signature = &route.signature;
    let named = [&signature.header, &signature.timestamp_header]
        .into_iter()
        .flatten()
        .any(|name| name.eq_ignore_ascii_case(&header));
    let signed_id = signature
        .template
        .as_ref()
        .is_some_and(|template| template.contains("{id}"))
        && signature
            .id_header
            .as_ref()
            .is_some_and(|name| name.eq_ignore_ascii_case(&header));
    // Of several signatures the others may be damaged; that is tried with one signature alone.
    let one_of_many = header.ends_with("signature")
        && case
            .request
            .headers
            .iter()
            .any(|(name, value)| name.eq_ignore_ascii_case(&header) && value.contains(' '));
    let known = [
        "stripe-signature",
        "x-bot-api-secret-token",
        "x-gitlab-token",
        "x-line-signature",
        "x-nextcloud-talk-random",
        "x-nextcloud-talk-signature",
        "x-shopify-hmac-sha256",
        "x-telegram-bot-api-secret-token",
        "x-signature-ed25519",
        "x-signature-timestamp",
        "x-slack-signature",
        "x-slack-request-timestamp",
        "x-hub-signature-256",
        "x-openclaw-signature",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "svix-id",
        "svix-timestamp",
        "svix-signature",
        "sign",
        "timestamp",
        "x-lark-signature",
        "x-lark-request-timestamp",
        "x-lark-request-nonce",
        "x-twilio-signature",
    ];
    let authorization = match case.platform.as_str() {
        "token" => signature.header.is_none(),
        "basic" | "openclaw-cron" | "googlechat" | "msteams" => true,
        _ => false,
    } && header == "authorization";
    !one_of_many && (named || signed_id || authorization || known.contains(&header.as_str()))
}

/// The same bytes in another spelling: hex in the other case, the scheme's name in the other case, blanks around.
fn same_meaning(before: &[u8], after: &[u8]) -> bool {
    before.eq_ignore_ascii_case(after) || before.trim_ascii() == after.trim_ascii()
}

/// Does the damage. Says whether what is proved is now other than it was; `None`: the request cannot be sent so.
fn apply(case: &Case, route: &Inbound, damage: &Damage, request: &mut http::Request<Full<Bytes>>) -> Option<bool> {
    let body = case.request.body();
    let names: Vec<HeaderName> = request.headers().keys().cloned().collect();
    let flipped = |which: &Index, at: &Index, flip: u8| {
        let name = names.get(which.index(names.len().max(1)))?;
        let before = request.headers()[name].as_bytes();
        let mut after = before.to_vec();
        *after.get_mut(at.index(before.len().max(1)))? ^= flip;
        let changed = proves(case, route, name.as_str()) && !same_meaning(before, &after);
        Some((name.clone(), HeaderValue::from_bytes(&after).ok()?, changed))
    };
    match damage {
        Damage::Body(..) | Damage::Cut(_) if body.is_empty() => None,
        Damage::Body(at, flip) => {
            let mut body = body;
            let at = at.index(body.len());
            body[at] ^= flip;
            let changed = disproves(case, route, &body);
            *request.body_mut() = Full::new(body.into());
            Some(changed)
        }
        Damage::Cut(at) => {
            let kept = body[..at.index(body.len())].to_vec();
            let changed = disproves(case, route, &kept);
            *request.body_mut() = Full::new(kept.into());
            Some(changed)
        }
        Damage::Header(which, at, flip) => {
            let (name, value, changed) = flipped(which, at, *flip)?;
            request.headers_mut().insert(name, value);
            Some(changed)
        }
        Damage::Twice(which, at, flip) => {
            let (name, value, _) = flipped(which, at, *flip)?;
            let changed = proves(case, route, name.as_str())
                && request.headers()[&name].as_bytes().trim_ascii() != value.as_bytes().trim_ascii();
            let other_first = flip % 2 == 0;
            if other_first {
                let first = request.headers_mut().insert(&name, value)?;
                request.headers_mut().append(name, first);
            } else {
                request.headers_mut().append(name, value);
            }
            Some(changed)
        }
        Damage::Missing(which) => {
            let name = names.get(which.index(names.len().max(1)))?;
            request.headers_mut().remove(name);
            Some(proves(case, route, name.as_str()))
        }
        Damage::Query(at, flip) => {
            let (path, before) = case.request.path.split_once('?')?;
            let mut after = before.as_bytes().to_vec();
            *after.get_mut(at.index(before.len().max(1)))? ^= flip;
            let target = format!("{path}?{}", std::str::from_utf8(&after).ok()?);
            *request.uri_mut() = target.parse().ok()?;
            Some(matches!(case.platform.as_str(), "bluebubbles" | "wecom") && !same_meaning(before.as_bytes(), &after))
        }
    }
}

/// How often each vector is damaged, where `OPENCLAW_TEST_MUTATIONS` says nothing.
const MUTATIONS: u32 = 40;

/// Damages one vector and says what is wrong with the answer.
fn damaged(
    case: &Case,
    route: &Inbound,
    stage: &Stage,
    damage: &Damage,
    runtime: &Runtime,
) -> Result<(), TestCaseError> {
    let mut request = request(case);
    let Some(other) = apply(case, route, damage, &mut request) else {
        return Ok(());
    };
    stage.store.forget();
    let reply = runtime.block_on(send(stage, request));
    prop_assert!(reply.status < 500, "{}: {} {:?}", case.name, reply.status, damage);
    if other && route.verify_signature && is_accepted(case) {
        prop_assert!(reply.events.is_empty(), "{} was accepted: {:?}", case.name, damage);
        prop_assert!(reply.status >= 400, "{}: {} {:?}", case.name, reply.status, damage);
    }
    if !reply.events.is_empty() && signs_what_is_read(case) && is_accepted(case) {
        prop_assert_eq!(differences(case, &reply), Vec::<String>::new(), "{:?}", damage);
    }
    if reply.status >= 400 {
        prop_assert!(reply.events.is_empty() && reply.durable.is_none());
    }
    Ok(())
}

/// Damages each of these vectors so often; what is wrong.
fn faults_of(cases: &[Case], mutations: u32) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = ProptestConfig {
        cases: mutations,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let faults = cases.iter().filter_map(|case| {
        let (route, stage) = (settings(&case.platform, &case.inbound), stage(case));
        let one = |damage| damaged(case, &route, &stage, &damage, &runtime);
        let tried = TestRunner::new(config.clone()).run(&damage(), one);
        tried.err().map(|fault| format!("{}: {fault}", case.name))
    });
    faults.collect()
}

/// `OPENCLAW_TEST_MUTATIONS=100000` is the full count: about 14 µs of processor time a request where the build is optimised.
#[test]
fn a_damaged_request_is_never_accepted_and_never_a_fault() {
    let mutations = std::env::var("OPENCLAW_TEST_MUTATIONS").map_or(MUTATIONS, |text| text.parse().unwrap());
    let cases = vectors();
    let accepted = cases.iter().filter(|case| is_accepted(case));
    let covered: BTreeSet<&str> = accepted.map(|case| &*case.platform).collect();
    assert_eq!(
        covered.len(),
        PLATFORMS.len(),
        "only these have a vector that is accepted: {covered:?}"
    );
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let shares = cases.chunks(cases.len().div_ceil(threads));
    let faults: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = shares
            .map(|share| scope.spawn(move || faults_of(share, mutations)))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("a panic is a fault of the test's own"))
            .collect()
    });
    assert!(
        faults.is_empty(),
        "{} of {} vectors:\n{}",
        faults.len(),
        cases.len(),
        faults.join("\n")
    );
    println!("{} vectors, each damaged {mutations} times", cases.len());
}
