//! What an answer means for a delivery and its sender. Pure.

use super::attempt::{Answer, Class};
use crate::document::settings::Outbound;

/// What an attempt's answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// 2xx, complete, with the required header.
    Delivered,
    /// Worth another attempt.
    Retry,
    /// Never will be delivered: any status that is not retried.
    Final,
    /// 410: the endpoint is gone; the sender is suspended and still owes the delivery.
    Suspend,
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
        Class::Dns | Class::Connect | Class::Tls | Class::Timeout | Class::Cut | Class::Egress | Class::Header => {
            Verdict::Retry
        }
        Class::Stale | Class::Local => Verdict::NotCharged,
        Class::Internal => Verdict::Broken,
        Class::Status => match answer.status.unwrap_or_default() {
            410 => Verdict::Suspend,
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
        for class in [Dns, Connect, Tls, Timeout, Egress] {
            assert_eq!(verdict(None, class), Verdict::Retry, "{class}");
        }
        // Whatever the status was: the answer is not complete, or not from the right place.
        assert_eq!(verdict(Some(200), Cut), Verdict::Retry);
        assert_eq!(verdict(Some(404), Cut), Verdict::Retry);
        assert_eq!(verdict(Some(200), Header), Verdict::Retry);
        assert_eq!(verdict(None, Stale), Verdict::NotCharged);
        assert_eq!(verdict(None, Local), Verdict::NotCharged);
        assert_eq!(verdict(None, Internal), Verdict::Broken);
    }
}
