//! Nothing is deleted by accident: what an automatic reconcile must not do by itself.

use serde::{Deserialize, Serialize};

use super::{Action, Observed, Plan};
use crate::document::{Address, Value};

/// `maxDelete` counts from this many webhooks on: of fewer, one is already a large share.
const SHARE_COUNTS_FROM: usize = 10;

/// At most so many protected webhooks are named.
const NAMED_AT_MOST: usize = 10;

/// Why a plan waits for `openclaw apply --allow-deletes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Each of them is enough; never empty.
    pub reasons: Vec<String>,
}

/// Whether a plan may not be carried out unasked; `None`: it may.
///
/// `max_delete_percent` is the applied generation's `reconcile.maxDelete`, as `protect` is the applied generation's: a
/// document cannot lift the guard against itself. Only webhooks count; a rename by `previousName` deletes nothing.
#[must_use]
pub fn held(observed: &Observed, plan: &Plan, max_delete_percent: u8) -> Option<Held> {
    let running = &observed.desired.resources;
    let total = running
        .keys()
        .filter(|a| matches!(a, Address::Inbound(_) | Address::Outbound(_)))
        .count();
    let deleted: Vec<&Address> = plan
        .changes
        .iter()
        .filter(|c| c.action == Action::Delete)
        .map(|c| &c.address)
        .collect();
    if deleted.is_empty() {
        return None;
    }
    let mut reasons = Vec::new();
    if deleted.len() == total {
        reasons.push(match deleted.as_slice() {
            [only] => format!("it would delete the only webhook, {only}"),
            _ => format!("it would delete all {total} webhooks"),
        });
    } else if total >= SHARE_COUNTS_FROM && deleted.len() * 100 > total * usize::from(max_delete_percent) {
        let count = deleted.len();
        reasons.push(format!(
            "it would delete {count} of {total} webhooks, more than reconcile.maxDelete ({max_delete_percent}%)"
        ));
    }
    let protects = |address: &&&Address| {
        let value = running
            .get(**address)
            .and_then(|resource| resource.effective("protect"));
        value == Some(Value::Bool(true))
    };
    let protected: Vec<_> = deleted.iter().filter(protects).collect();
    reasons.extend(
        protected
            .iter()
            .take(NAMED_AT_MOST)
            .map(|a| format!("it would delete {a}, which has `protect: true`")),
    );
    if protected.len() > NAMED_AT_MOST {
        reasons.push(format!(
            "and {} more that have `protect: true`",
            protected.len() - NAMED_AT_MOST
        ));
    }
    (!reasons.is_empty()).then_some(Held { reasons })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::document::Desired;
    use crate::plan::diff;
    use crate::plan::fixtures::{address, desired, observed, resource};

    fn senders(count: usize) -> Desired {
        let sender = |n| {
            (
                address(&format!("out.s{n:03}")),
                resource(json!({"url": "https://example.com"})),
            )
        };
        Desired {
            resources: (0..count).map(sender).collect(),
            ..Desired::default()
        }
    }

    fn reasons(before: Desired, after: &Desired) -> Vec<String> {
        let observed = observed(before);
        let plan = diff(&observed, after, &observed.fingerprints);
        held(&observed, &plan, 30).map_or_else(Vec::new, |held| held.reasons)
    }

    #[test]
    fn deleting_everything_is_held() {
        assert_eq!(reasons(senders(3), &senders(0)), ["it would delete all 3 webhooks"]);
        assert_eq!(
            reasons(senders(1), &senders(0)),
            ["it would delete the only webhook, webhooks.outbound.s000"]
        );
        let other = desired(json!({"in.other": {}}));
        assert_eq!(
            reasons(senders(3), &other),
            ["it would delete all 3 webhooks"],
            "another document altogether"
        );
    }

    #[test]
    fn a_large_share_is_held_from_ten_webhooks_on() {
        assert!(reasons(senders(9), &senders(1)).is_empty());
        assert!(
            reasons(senders(10), &senders(7)).is_empty(),
            "exactly 30 % is not more than 30 %"
        );
        assert_eq!(
            reasons(senders(10), &senders(6)),
            ["it would delete 4 of 10 webhooks, more than reconcile.maxDelete (30%)"]
        );
    }

    #[test]
    fn protect_counts_in_the_applied_generation() {
        let protected = desired(json!({"out.a": {"protect": true}, "out.b": {}}));
        let reason = "it would delete webhooks.outbound.a, which has `protect: true`";
        assert_eq!(reasons(protected.clone(), &desired(json!({"out.b": {}}))), [reason]);
        assert!(
            reasons(protected, &desired(json!({"out.a": {}}))).is_empty(),
            "`b` is not protected"
        );
    }

    #[test]
    fn a_rename_and_an_unchanged_document_are_not_held() {
        let before = desired(json!({"out.a": {"protect": true}}));
        assert!(reasons(before.clone(), &desired(json!({"out.b": {"previousName": "a"}}))).is_empty());
        assert!(reasons(before.clone(), &before).is_empty());
        assert!(reasons(Desired::default(), &before).is_empty());
    }
}
