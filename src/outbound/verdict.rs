//! What an answer means for a delivery and its sender. Pure.

use super::attempt::{Answer, Class};
use crate::document::settings::{Format, Outbound};

/// What an attempt's answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// 2xx, complete, with the required header.
    Delivered,
    /// Worth another attempt.
    Retry,
    /// Never will be delivered: any status that is not retried.
    Final,
    /// 410: the endpoint is gone (401 and 403 of an assistant: it does not know us); the sender is suspended and still owes
    /// the delivery.
    Suspend,
    /// Nothing was sent, nor can be: a template fails on this event.
    Unsendable,
    /// Says nothing about the endpoint: tried again, not charged.
    NotCharged,
    /// The gateway's own failure.
    Broken,
}

/// Judges an answer.
///
/// Egress refusals are retried: `egress.allow` or the name's addresses may be mended before the last attempt.
pub(super) fn judge(answer: &Answer, settings: &Outbound) -> Verdict {
    let Some(failure) = &answer.failure else {
        return Verdict::Delivered;
    };
    match failure.class {
        Class::Dns
        | Class::Connect
        | Class::Tls
        | Class::Timeout
        | Class::Cut
        | Class::Egress
        | Class::Header
        | Class::Answer => Verdict::Retry,
        Class::Run => Verdict::Final,
        Class::Template => Verdict::Unsendable,
        Class::Stale | Class::Local => Verdict::NotCharged,
        Class::Internal => Verdict::Broken,
        Class::Status => match answer.status.unwrap_or_default() {
            410 => Verdict::Suspend,
            401 | 403 if settings.format == Format::AgentHook => Verdict::Suspend,
            409 if settings.format == Format::AgentHook => Verdict::Retry,
            408 | 425 | 429 => Verdict::Retry,
            status if settings.retry_status_codes.iter().any(|codes| codes.contains(&status)) => Verdict::Retry,
            _ => Verdict::Final,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::attempt::Failure;
    use crate::outbound::prepared::tests::settings;

    fn verdict(status: Option<u16>, class: Class) -> Verdict {
        let mut settings = settings("http://example.com/");
        settings.retry_status_codes = vec![500..=502, 520..=530, 409..=409];
        let failure = Some(Failure {
            class,
            detail: String::new(),
        });
        judge(
            &Answer {
                status,
                failure,
                ..Answer::default()
            },
            &settings,
        )
    }

    #[test]
    fn statuses_are_retried_final_or_the_end_of_the_endpoint() {
        for status in [408, 425, 429, 500, 501, 502, 520, 530, 409] {
            assert_eq!(verdict(Some(status), Class::Status), Verdict::Retry, "{status}");
        }
        for status in [301, 302, 304, 400, 401, 403, 404, 422, 503, 504, 519, 531] {
            assert_eq!(verdict(Some(status), Class::Status), Verdict::Final, "{status}");
        }
        assert_eq!(verdict(Some(410), Class::Status), Verdict::Suspend);
        let delivered = Answer {
            status: Some(204),
            ..Answer::default()
        };
        assert_eq!(judge(&delivered, &settings("http://example.com/")), Verdict::Delivered);
    }

    #[test]
    fn failures_on_the_way_are_retried_and_our_own_are_not_charged() {
        use Class::{Connect, Cut, Dns, Egress, Header, Internal, Local, Stale, Timeout, Tls};
        for class in [Dns, Connect, Tls, Timeout, Egress, Class::Answer] {
            assert_eq!(verdict(None, class), Verdict::Retry, "{class}");
        }
        // Whatever the status was: the answer is not complete, or not from the right place.
        assert_eq!(verdict(Some(200), Cut), Verdict::Retry);
        assert_eq!(verdict(Some(404), Cut), Verdict::Retry);
        assert_eq!(verdict(Some(200), Header), Verdict::Retry);
        assert_eq!(verdict(None, Stale), Verdict::NotCharged);
        assert_eq!(verdict(None, Local), Verdict::NotCharged);
        assert_eq!(verdict(None, Internal), Verdict::Broken);
        assert_eq!(verdict(Some(200), Class::Run), Verdict::Final);
        assert_eq!(verdict(None, Class::Template), Verdict::Unsendable);
    }

    #[test]
    fn an_assistant_that_does_not_know_us_suspends_and_a_busy_one_is_tried_again() {
        let mut settings = settings("http://example.com/");
        settings.format = Format::AgentHook;
        let verdict = |status| {
            let failure = Some(Failure {
                class: Class::Status,
                detail: String::new(),
            });
            let answer = Answer {
                status: Some(status),
                failure,
                ..Answer::default()
            };
            judge(&answer, &settings)
        };
        for status in [401, 403, 410] {
            assert_eq!(verdict(status), Verdict::Suspend, "{status}");
        }
        for status in [408, 409, 429, 500, 503] {
            assert_eq!(verdict(status), Verdict::Retry, "{status}");
        }
        for status in [400, 404, 405, 413] {
            assert_eq!(verdict(status), Verdict::Final, "{status}");
        }
    }
}
