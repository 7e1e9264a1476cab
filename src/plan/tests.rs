//! What a plan says, example by example, and the laws that hold for every plan.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;

use super::fixtures::{TABLE, address, desired, field, observed, resource, value};
use super::*;
use crate::document::Resource;

fn plan_of(before: serde_json::Value, after: serde_json::Value) -> Plan {
    diff(&observed(desired(before)), &desired(after), &Fingerprints::new())
}

/// `~ webhooks.outbound.a (reason) field: before -> after`, a line each.
fn lines(plan: &Plan) -> Vec<String> {
    let text = |value: &Option<Value>| value.as_ref().map_or_else(|| "-".to_owned(), Value::to_string);
    let mut lines = Vec::new();
    for change in &plan.changes {
        let reason = change
            .reason
            .as_ref()
            .map_or(String::new(), |reason| format!(" ({reason})"));
        lines.push(format!("{:?} {}{reason}", change.action, change.address));
        for f in &change.fields {
            let notes = [(f.sensitive, " sensitive"), (f.forces_replace, " forces replace")];
            let notes: String = notes.iter().filter(|(on, _)| *on).map(|(_, note)| *note).collect();
            lines.push(format!(
                "  {}: {} -> {}{notes}",
                f.path,
                text(&f.before),
                text(&f.after)
            ));
        }
    }
    lines
}

#[test]
fn changes_come_in_the_order_of_their_actions_and_addresses() {
    let before = json!({
        "out.gone": {"url": "https://gone"}, "in.gone": {}, "store": {"engine": "sqlite"},
        "out.b": {"retries": 3}, "in.b": {"paused": true}, "out.same": {"url": "https://same"},
    });
    let after = json!({
        "store": {"engine": "postgres"}, "out.b": {"retries": 4, "url": "https://b"}, "in.b": {},
        "out.same": {"url": "https://same"}, "out.new": {"url": "https://new"}, "in.new": {},
    });
    assert_eq!(
        lines(&plan_of(before, after)),
        [
            "Delete webhooks.inbound.gone",
            "Delete webhooks.outbound.gone",
            r#"  url: "https://gone" -> -"#,
            "Replace webhooks.store",
            r#"  engine: "sqlite" -> "postgres" forces replace"#,
            "Update webhooks.inbound.b",
            "  paused: true -> -",
            "Update webhooks.outbound.b",
            r#"  url: - -> "https://b""#,
            "  retries: 3 -> 4",
            "Create webhooks.inbound.new",
            "Create webhooks.outbound.new",
            r#"  url: - -> "https://new""#,
        ]
    );
}

#[test]
fn a_map_is_compared_member_by_member_and_a_reference_as_a_whole() {
    let before = json!({"out.a": {
        "secret": {"env": "A"}, "headers": {"X-A": "1", "X-B": "2", "x.y": "3"}, "signature": {"header": "H", "key": {"env": "H"}},
    }});
    let after = json!({"out.a": {
        "secret": {"file": "./a"}, "headers": {"X-A": "1", "X-B": "9", "X-C": "4"}, "signature": {"header": "I", "key": {"env": "I"}},
    }});
    assert_eq!(
        lines(&plan_of(before, after)),
        [
            "Update webhooks.outbound.a",
            r#"  secret: {"env":"A"} -> {"file":"./a"} sensitive"#,
            r#"  headers.X-B: "2" -> "9""#,
            r#"  headers.X-C: - -> "4""#,
            r#"  headers["x.y"]: "3" -> -"#,
            r#"  signature.header: "H" -> "I""#,
            r#"  signature.key: {"env":"H"} -> {"env":"I"} sensitive"#,
        ]
    );
}

#[test]
fn secrets_and_credentials_are_never_in_a_plan() {
    let before = json!({"out.a": {
        "url": "https://u:hunter2@example.com/?k=hunter2", "secret": "hunter2", "headers": {"Authorization": "hunter2"},
    }});
    let after = json!({"out.a": {
        "url": "https://u:hunter3@example.com/?k=hunter3", "secret": "hunter3", "headers": {"Authorization": "hunter3"},
    }});
    let expected = [
        "Update webhooks.outbound.a",
        r#"  url: "https://***@example.com/?k=***" -> "https://***@example.com/?k=***" sensitive"#,
        r#"  secret: "***" -> "***" sensitive"#,
        r#"  headers.Authorization: "***" -> "***" sensitive"#,
    ];
    assert_eq!(lines(&plan_of(before.clone(), after)), expected);
    for plan in [plan_of(json!({}), before.clone()), plan_of(before, json!({}))] {
        assert!(
            plan.changes[0].fields.iter().all(|field| field.sensitive),
            "{:?}",
            lines(&plan)
        );
        assert!(!format!("{plan:?}").contains("hunter"), "{:?}", lines(&plan));
    }
}

#[test]
fn a_secret_that_changed_behind_its_reference_is_a_change() {
    let document =
        json!({"out.a": {"url": "https://a", "secret": [{"env": "A"}, {"file": "./b"}]}, "out.b": {"secret": "${B}"}});
    let prints = |a: &str, file: &str| {
        Fingerprints::from([
            ("webhooks.outbound.a secret[0]".to_owned(), a.to_owned()),
            ("webhooks.outbound.a secret[1]".to_owned(), file.to_owned()),
            ("webhooks.outbound.b secret".to_owned(), "01".to_owned()),
        ])
    };
    let running = Observed {
        fingerprints: prints("01", "02"),
        ..observed(desired(document.clone()))
    };
    let document = desired(document);
    assert!(diff(&running, &document, &prints("01", "02")).is_empty());
    assert_eq!(
        lines(&diff(&running, &document, &prints("01", "03"))),
        [
            "Update webhooks.outbound.a (the file or variable behind secret[1] changed)",
            r#"  secret[1]: {"file":"./b"} -> {"file":"./b"} sensitive"#,
        ]
    );
    let missing = diff(&running, &document, &Fingerprints::new());
    assert!(
        missing.is_empty(),
        "what was not looked at did not change: {:?}",
        lines(&missing)
    );
}

#[test]
fn a_changed_reference_is_told_once() {
    let key = "webhooks.outbound.a secret".to_owned();
    let running = Observed {
        fingerprints: Fingerprints::from([(key.clone(), "01".to_owned())]),
        ..observed(desired(json!({"out.a": {"secret": "${A}"}})))
    };
    let plan = diff(
        &running,
        &desired(json!({"out.a": {"secret": "${B}"}})),
        &Fingerprints::from([(key, "02".to_owned())]),
    );
    assert_eq!(
        lines(&plan),
        ["Update webhooks.outbound.a", r#"  secret: "${A}" -> "${B}" sensitive"#]
    );
}

#[test]
fn a_previous_name_makes_a_rename_and_is_no_field() {
    let before = json!({"out.old": {"url": "https://a", "retries": 3}, "out.other": {}});
    let after = json!({"out.new": {"url": "https://a", "retries": 5, "previousName": "old"}, "out.other": {}});
    let plan = plan_of(before.clone(), after);
    assert_eq!(
        lines(&plan),
        ["Update webhooks.outbound.new (renamed from old)", "  retries: 3 -> 5"]
    );
    assert_eq!(plan.changes[0].previous.as_ref().map(Name::as_str), Some("old"));

    let unchanged = plan_of(
        before.clone(),
        json!({"out.new": {"url": "https://a", "retries": 3, "previousName": "old"}, "out.other": {}}),
    );
    assert_eq!(lines(&unchanged), ["Update webhooks.outbound.new (renamed from old)"]);

    let after_the_rename = plan_of(json!({"out.new": {"previousName": "old"}}), json!({"out.new": {}}));
    assert!(after_the_rename.is_empty(), "{:?}", lines(&after_the_rename));
}

#[test]
fn a_previous_name_that_is_still_in_use_or_taken_renames_nothing() {
    let still_there = plan_of(
        json!({"out.old": {}}),
        json!({"out.old": {}, "out.new": {"previousName": "old"}}),
    );
    assert_eq!(lines(&still_there), ["Create webhooks.outbound.new"]);
    let twice = plan_of(
        json!({"out.old": {}}),
        json!({"out.a": {"previousName": "old"}, "out.b": {"previousName": "old"}}),
    );
    assert_eq!(
        lines(&twice),
        [
            "Update webhooks.outbound.a (renamed from old)",
            "Create webhooks.outbound.b"
        ]
    );
    let other_side = plan_of(json!({"in.old": {}}), json!({"out.new": {"previousName": "old"}}));
    assert_eq!(
        lines(&other_side),
        ["Delete webhooks.inbound.old", "Create webhooks.outbound.new"]
    );
}

#[test]
fn a_deleted_sender_says_what_it_is_still_owed() {
    let mut running = observed(desired(json!({"out.a": {}, "out.b": {}, "in.c": {}, "out.d": {}})));
    running.owed = BTreeMap::from([("a".to_owned(), 12), ("d".to_owned(), 3)]);
    let plan = diff(
        &running,
        &desired(json!({"out.d": {"paused": true}})),
        &Fingerprints::new(),
    );
    let undelivered: Vec<_> = plan
        .changes
        .iter()
        .map(|c| (c.address.to_string(), c.undelivered))
        .collect();
    let expected = [
        ("webhooks.inbound.c".to_owned(), None),
        ("webhooks.outbound.a".to_owned(), Some(12)),
        ("webhooks.outbound.b".to_owned(), Some(0)),
        ("webhooks.outbound.d".to_owned(), None),
    ];
    assert_eq!(undelivered, expected);
}

#[test]
fn settings_always_exist() {
    assert_eq!(
        lines(&plan_of(
            json!({}),
            json!({"server": {"url": "https://a"}, "admin": {}})
        )),
        ["Update webhooks.server", r#"  url: - -> "https://a""#]
    );
    assert_eq!(
        lines(&plan_of(json!({"server": {"url": "https://a"}}), json!({}))),
        ["Update webhooks.server", r#"  url: "https://a" -> -"#]
    );
}

#[test]
fn a_hundred_thousand_webhooks_with_one_change_make_one_change() {
    let mut before = Desired::default();
    for n in 0..100_000 {
        let name = Name::parse(&format!("s{n:06}")).unwrap();
        before.resources.insert(
            Address::Outbound(name),
            Resource::new(vec![(field("retries"), Value::Integer(n))]),
        );
    }
    let mut after = before.clone();
    after
        .resources
        .insert(address("out.s050000"), resource(json!({"retries": 7})));
    let plan = diff(&observed(before), &after, &Fingerprints::new());
    assert_eq!(
        lines(&plan),
        ["Update webhooks.outbound.s050000", "  retries: 50000 -> 7"]
    );
}

// ---- laws ----

/// What the reconciler does with a plan: what is deleted goes, everything else becomes what the document says.
fn apply_to(running: &Desired, plan: &Plan, wanted: &Desired) -> BTreeMap<Address, Resource> {
    let mut resources = running.resources.clone();
    for change in &plan.changes {
        if let (Some(previous), Address::Outbound(_)) = (&change.previous, &change.address) {
            resources.remove(&Address::Outbound(previous.clone()));
        }
        if let (Some(previous), Address::Inbound(_)) = (&change.previous, &change.address) {
            resources.remove(&Address::Inbound(previous.clone()));
        }
        match change.action {
            Action::Delete => resources.remove(&change.address),
            Action::Replace | Action::Update | Action::Create => resources.insert(
                change.address.clone(),
                wanted.resources.get(&change.address).cloned().unwrap_or_default(),
            ),
        };
    }
    resources
}

/// Carries out a plan by its fields alone, as someone would who has only the plan's text.
fn patch(running: &Desired, plan: &Plan) -> BTreeMap<Address, BTreeMap<String, Value>> {
    let mut resources = shown_fields(&running.resources);
    for change in &plan.changes {
        let old = match (&change.previous, &change.address) {
            (Some(previous), Address::Outbound(_)) => Address::Outbound(previous.clone()),
            (Some(previous), Address::Inbound(_)) => Address::Inbound(previous.clone()),
            (_, address) => address.clone(),
        };
        let mut fields = resources.remove(&old).unwrap_or_default();
        for field in &change.fields {
            for (path, value) in flat(&field.path, field.before.clone()) {
                assert_eq!(fields.remove(&path), Some(value), "{path}");
            }
            fields.extend(flat(&field.path, field.after.clone()));
        }
        if change.action == Action::Delete {
            assert!(fields.is_empty(), "a delete names every field: {fields:?}");
        } else {
            resources.insert(change.address.clone(), fields);
        }
    }
    resources
        .retain(|address, fields| !fields.is_empty() || matches!(address, Address::Inbound(_) | Address::Outbound(_)));
    resources
}

/// A field, or the members of a map as fields of their own.
fn flat(path: &str, value: Option<Value>) -> Vec<(String, Value)> {
    match value {
        Some(Value::Map(members)) if path == "headers" => members
            .into_iter()
            .map(|(name, value)| (format!("headers.{name}"), value))
            .collect(),
        value => value.map(|value| (path.to_owned(), value)).into_iter().collect(),
    }
}

/// Every field as it is shown.
fn shown_fields(resources: &BTreeMap<Address, Resource>) -> BTreeMap<Address, BTreeMap<String, Value>> {
    let fields = |resource: &Resource| {
        let fields = resource.fields().filter(|(field, _)| field.name != "previousName");
        fields
            .flat_map(|(field, value)| flat(field.name, Some(crate::document::shown(field, value))))
            .collect::<BTreeMap<_, _>>()
    };
    let mut shown: BTreeMap<_, _> = resources
        .iter()
        .map(|(address, r)| (address.clone(), fields(r)))
        .collect();
    shown.retain(|address, fields| !fields.is_empty() || matches!(address, Address::Inbound(_) | Address::Outbound(_)));
    shown
}

/// The same without what says only how a resource came to be, and without settings that say nothing.
fn essence(resources: &BTreeMap<Address, Resource>) -> BTreeMap<Address, Resource> {
    let strip = |resource: &Resource| {
        Resource::new(
            resource
                .fields()
                .filter(|(f, _)| f.name != "previousName")
                .map(|(f, v)| (f, v.clone()))
                .collect(),
        )
    };
    let mut essence: BTreeMap<_, _> = resources
        .iter()
        .map(|(address, r)| (address.clone(), strip(r)))
        .collect();
    essence.retain(|address, r| {
        *r != Resource::default() || matches!(address, Address::Inbound(_) | Address::Outbound(_))
    });
    essence
}

fn field_value(name: &'static str) -> BoxedStrategy<Value> {
    let words = prop::sample::select(vec!["a", "b", "https://u:p@h/a", "https://h/b?k=v", "hunter2"]);
    let text = words.prop_map(Value::text).boxed();
    match name {
        "retries" => (0_i64..3).prop_map(Value::Integer).boxed(),
        "retryDelay" => (0_u64..3).prop_map(Value::Duration).boxed(),
        "paused" | "protect" => any::<bool>().prop_map(Value::Bool).boxed(),
        "events" => prop::collection::vec(text, 0..3)
            .prop_map(|items| Value::List(items.into()))
            .boxed(),
        "headers" => prop::collection::btree_map(prop::sample::select(vec!["Authorization", "X-A", "X-B"]), text, 0..3)
            // An empty map is the default: a resource in normal form leaves it out.
            .prop_filter("not the default", |members| !members.is_empty())
            .prop_map(|members| Value::Map(members.into_iter().map(|(n, v)| (n.into(), v)).collect()))
            .boxed(),
        "signature" => Just(value(json!({"key": {"env": "X"}}))).boxed(),
        "secret" => prop_oneof![text, Just(value(json!({"env": "A"}))), Just(value(json!("${A}")))].boxed(),
        _ => text,
    }
}

fn any_resource() -> impl Strategy<Value = Resource> {
    let fields: Vec<_> = TABLE
        .iter()
        .filter(|field| field.name != "previousName")
        .map(|field| prop::option::of(field_value(field.name)).prop_map(move |value| value.map(|value| (field, value))))
        .collect();
    fields.prop_map(|fields| Resource::new(fields.into_iter().flatten().collect()))
}

fn any_address() -> impl Strategy<Value = Address> {
    prop::sample::select(vec!["out.a", "out.b", "out.c", "in.a", "in.b", "server", "store"]).prop_map(address)
}

fn any_desired() -> impl Strategy<Value = Desired> {
    prop::collection::btree_map(any_address(), any_resource(), 0..6).prop_map(|resources| Desired {
        resources,
        ..Desired::default()
    })
}

/// A document whose webhooks may say that they had another name.
fn any_renaming() -> impl Strategy<Value = Desired> {
    let previous = prop::collection::btree_map(any_address(), prop::sample::select(vec!["a", "b", "c"]), 0..4);
    (any_desired(), previous).prop_map(|(mut desired, previous)| {
        for (address, name) in previous {
            if let (Address::Inbound(_) | Address::Outbound(_), Some(resource)) =
                (&address, desired.resources.get_mut(&address))
            {
                let mut fields: Vec<_> = resource.fields().map(|(f, v)| (f, v.clone())).collect();
                let place = fields
                    .iter()
                    .position(|(f, _)| f.name == "description")
                    .unwrap_or(fields.len());
                fields.insert(place, (field("previousName"), Value::text(name)));
                *resource = Resource::new(fields);
            }
        }
        desired
    })
}

fn mirrored(plan: &Plan) -> BTreeSet<String> {
    let mirror = |change: &Change| {
        let mut change = change.clone();
        change.undelivered = None;
        change.action = match change.action {
            Action::Delete => Action::Create,
            Action::Create => Action::Delete,
            other => other,
        };
        for field in &mut change.fields {
            std::mem::swap(&mut field.before, &mut field.after);
        }
        format!("{change:?}")
    };
    plan.changes.iter().map(mirror).collect()
}

proptest! {
    #[test]
    fn carrying_out_a_plan_makes_what_is_wanted(before in any_desired(), after in any_renaming()) {
        let plan = diff(&observed(before.clone()), &after, &Fingerprints::new());
        prop_assert_eq!(essence(&apply_to(&before, &plan, &after)), essence(&after.resources));
        prop_assert_eq!(patch(&before, &plan), shown_fields(&after.resources), "by its fields alone");
    }

    #[test]
    fn nothing_is_planned_for_what_is_so_already(document in any_renaming()) {
        let plan = diff(&observed(document.clone()), &document, &Fingerprints::new());
        prop_assert!(plan.is_empty(), "{:?}", lines(&plan));
    }

    #[test]
    fn a_plan_is_ordered_and_touches_each_resource_once(before in any_desired(), after in any_renaming()) {
        let plan = diff(&observed(before.clone()), &after, &Fingerprints::new());
        let order: Vec<_> = plan.changes.iter().map(|c| (c.action, c.address.clone())).collect();
        prop_assert!(order.is_sorted(), "{:?}", order);
        let addresses: BTreeSet<_> = plan.changes.iter().map(|c| &c.address).collect();
        prop_assert_eq!(addresses.len(), plan.changes.len());
        for change in &plan.changes {
            let places: Vec<_> = change.fields.iter().map(|f| {
                let top = f.path.split('.').next().unwrap();
                TABLE.iter().position(|row| row.name == top).unwrap()
            }).collect();
            prop_assert!(places.is_sorted(), "fields in the table's order: {:?}", lines(&plan));
        }
        prop_assert_eq!(&diff(&observed(before), &after, &Fingerprints::new()), &plan, "the same again");
    }

    #[test]
    fn the_way_back_is_the_mirror(a in any_desired(), b in any_desired()) {
        let there = diff(&observed(a.clone()), &b, &Fingerprints::new());
        let back = diff(&observed(b), &a, &Fingerprints::new());
        let back: BTreeSet<String> = back.changes.iter().map(|c| format!("{:?}", Change { undelivered: None, ..c.clone() })).collect();
        prop_assert_eq!(mirrored(&there), back);
    }
}
