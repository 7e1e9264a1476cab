//! What is written is read again, and nothing else.

use http::{HeaderName, HeaderValue};

use super::*;
use crate::store::conformance::{T0, event, event_from, event_of_session, noise, request};

fn data(text: &str) -> Data {
    Data::written(text)
}

fn open(row: &[u8], events: i64) -> Result<Segment> {
    Segment::open(7, 7 + events - 1, true, row)
}

/// Two requests, one event of none, an id of another form.
fn draft() -> (Vec<u8>, Vec<Event>) {
    let long = RawRequest {
        body: format!(" {{\"text\":\"{}\"}}\n", "x".repeat(100)).into(),
        ..request("telegram")
    };
    let body = String::from_utf8(long.body.to_vec()).unwrap();
    let mut events = vec![
        Event {
            data: data(&format!("{{\"a\":1,\"body\":{},\"z\":2}}", body.trim())),
            ..event_from("message.received", "telegram")
        },
        event_of_session("chat-1"),
        Event {
            id: EventId::from_stored("evt_of-another-form"),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            test: true,
            ..event("a.b")
        },
    ];
    events.push(event("c.d"));
    let mut draft = Draft::default();
    let other = request("discord");
    for (index, made_by) in [(0, Some(&long)), (2, Some(&other)), (3, None)] {
        let mut part = Draft::default();
        let place = made_by.map(|request| (part.request(request, 0, 2), request));
        let count = if index == 0 { 2 } else { 1 };
        for event in &events[usize::try_from(index).unwrap()..][..count] {
            part.event(event, &Id::from(event.id.as_str()), T0 + index, place);
        }
        draft.append(&part, 7 + index, place.is_some(), [false; 2].into_iter());
    }
    assert_eq!((draft.events(), draft.there()), (4, 4));
    let bytes = draft.end();
    assert_eq!((draft.len(), draft.events()), (0, 0));
    (bytes, events)
}

fn is(stored: &Stored, event: &Event) {
    assert_eq!(format!("{:?}", stored.event), format!("{event:?}"));
}

#[test]
fn what_is_written_is_read_again_and_a_body_is_stored_once() {
    let (row, events) = draft();
    let segment = open(&row, 4).unwrap();
    let text = "x".repeat(100);
    assert_eq!(memchr::memmem::find_iter(&segment.bytes, text.as_bytes()).count(), 1);
    for (seq, event) in (7..).zip(&events) {
        is(&segment.event(seq).unwrap().unwrap(), event);
    }
    assert!(segment.event(6).unwrap().is_none() && segment.event(11).unwrap().is_none());
    let made_by = |seq| {
        let stored = segment.event(seq).unwrap().unwrap();
        segment.request(&stored).unwrap()
    };
    let first = made_by(7).unwrap();
    assert_eq!((first.first, first.last, first.at_ms), (Seq(7), Seq(8), T0));
    assert_eq!(made_by(8).unwrap().request.body, first.request.body);
    assert_eq!(made_by(9).unwrap().request.route.as_str(), "discord");
    assert!(made_by(10).is_none());
    let Id::Usual(id) = Id::from(events[3].id.as_str()) else {
        panic!("the gateway's own ids are usual")
    };
    assert_eq!((segment.find(&id), segment.find(&[0; 16])), (Some(10), None));
}

#[test]
fn an_event_that_is_gone_from_the_start_has_its_seq_and_no_more() {
    let sent = request("telegram");
    let (repeat, new) = (event("a.b"), event("c.d"));
    let mut part = Draft::default();
    let place = (part.request(&sent, 0, 2), &sent);
    for event in [&repeat, &new] {
        part.event(event, &Id::from(event.id.as_str()), T0, Some(place));
    }
    let mut draft = Draft::default();
    draft.append(&part, 7, true, [true, false].into_iter());
    assert_eq!((draft.events(), draft.there()), (2, 1));
    let segment = open(&draft.end(), 2).unwrap();
    assert!(segment.event(7).unwrap().is_none());
    let stored = segment.event(8).unwrap().unwrap();
    is(&stored, &new);
    assert_eq!(segment.request(&stored).unwrap().unwrap().first, Seq(7));
}

#[test]
fn what_is_kept_stays_as_it_was() {
    let (row, events) = draft();
    let (row, kept) = open(&row, 4).unwrap().only(|seq| seq == 8 || seq == 10).unwrap();
    assert_eq!(kept, 2);
    let segment = open(&row, 4).unwrap();
    for (seq, event) in (7..).zip(&events) {
        match segment.event(seq).unwrap() {
            Some(stored) => is(&stored, event),
            None => assert!(seq == 7 || seq == 9),
        }
    }
    let stored = segment.event(8).unwrap().unwrap();
    let request = segment.request(&stored).unwrap().unwrap();
    assert_eq!((request.first, request.last), (Seq(7), Seq(8)));
    let (row, kept) = segment.only(|seq| seq == 10).unwrap();
    let segment = open(&row, 4).unwrap();
    assert_eq!(
        (kept, memchr::memmem::find(&segment.bytes, b"telegram")),
        (1, None),
        "a request without an event goes"
    );
}

#[test]
fn no_damage_is_passed_over() {
    let (row, _) = draft();
    for at in 0..row.len() {
        let mut spoilt = row.clone();
        spoilt[at] ^= 0x55;
        assert!(matches!(open(&spoilt, 4), Err(StoreError::Damaged(_))), "byte {at}");
        assert!(
            matches!(open(&row[..at], 4), Err(StoreError::Damaged(_))),
            "cut at {at}"
        );
    }
    assert!(open(&row, -1).is_err() && open(&row, i64::MAX / 2).is_err());
}

#[test]
fn requests_of_one_platform_take_less_than_half_and_noise_takes_no_more() {
    const WORDS: [&str; 16] = [
        "the",
        "issue",
        "after",
        "update",
        "crashes",
        "webhook",
        "cannot",
        "connect",
        "timeout",
        "server",
        "returns",
        "error",
        "please",
        "reproduce",
        "steps",
        "attached",
    ];
    let with_body = |body: Vec<u8>| RawRequest {
        headers: [
            ("x-github-event", "issues"),
            ("x-github-hook-id", "292430182"),
            ("x-github-hook-installation-target-type", "repository"),
            ("user-agent", "GitHub-Hookshot/044aadd"),
            ("content-type", "application/json"),
        ]
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .into_iter()
        .collect(),
        body: body.into(),
        ..request("github")
    };
    let mut draft = Draft::default();
    for seq in 7..57 {
        let mut random = [0_u8; 100];
        getrandom::fill(&mut random).unwrap();
        let text: Vec<&str> = random.iter().map(|byte| WORDS[usize::from(byte % 16)]).collect();
        let body = format!(
            r#"{{"action":"opened","issue":{{"number":{seq},"body":"{}"}}}}"#,
            text.join(" ")
        );
        let (sent, mut part) = (with_body(body.clone().into_bytes()), Draft::default());
        let place = (part.request(&sent, 0, 1), &sent);
        let event = Event {
            data: data(&format!("{{\"deliveryId\":{seq},\"payload\":{body}}}")),
            ..event_from("webhook.received", "github")
        };
        part.event(&event, &Id::from(event.id.as_str()), T0, Some(place));
        draft.append(&part, seq, true, [false].into_iter());
    }
    let (before, row) = (draft.len(), draft.end().len());
    assert!(row < before / 2, "{before} became {row}");

    draft.request(&with_body(noise(100_000).into()), 57, 0);
    let (before, row) = (draft.len(), draft.end().len());
    assert!(row < before + before / 100, "{before} became {row}");
}
