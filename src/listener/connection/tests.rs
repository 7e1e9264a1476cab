//! When a connection ends, by the clock.

use super::*;

fn limits() -> Limits {
    Limits {
        header_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(75),
        ..Limits::default()
    }
}

// Neither a drain nor an end.
fn unhurried(limits: &Limits) -> Pace<'_> {
    Pace {
        limits,
        drained: None,
        closing: None,
    }
}

// A connection that began so many seconds ago.
fn activity(age_s: u64) -> Arc<Activity> {
    let mut activity = Activity::new();
    activity.begun = Instant::now().checked_sub(Duration::from_secs(age_s)).unwrap();
    Arc::new(activity)
}

#[test]
fn a_connection_without_a_request_has_the_time_of_its_headers() {
    let limits = limits();
    let pace = unhurried(&limits);
    assert_eq!(pace.next(&activity(9)), Step::Wait(Duration::from_secs(10)));
    assert_eq!(pace.next(&activity(10)), Step::Cut);
    let trickling = activity(11);
    trickling.received(b"G", true);
    assert_eq!(pace.next(&trickling), Step::Cut, "a byte now and then buys no time");
}

#[test]
fn a_connection_between_requests_has_the_idle_time_and_a_begun_request_that_of_headers() {
    let limits = limits();
    let pace = unhurried(&limits);
    let idle = activity(100);
    drop(InFlight::new(&idle));
    assert!(matches!(pace.next(&idle), Step::Wait(at) if at >= Duration::from_secs(175)));
    idle.ended.store(20_000, Ordering::Release);
    assert_eq!(pace.next(&idle), Step::Close);
    idle.received(b"POST", false);
    assert!(matches!(pace.next(&idle), Step::Wait(at) if at >= Duration::from_secs(110)));
    idle.head.store(80_001, Ordering::Release);
    assert_eq!(pace.next(&idle), Step::Cut);
}

#[test]
fn a_request_in_flight_is_never_cut_for_being_idle() {
    let limits = limits();
    let busy = activity(1000);
    let _request = InFlight::new(&busy);
    for (drained, closing) in [
        (None, None),
        (None, Some(Duration::ZERO)),
        (Some(Duration::ZERO), Some(Duration::ZERO)),
    ] {
        assert!(matches!(
            Pace {
                limits: &limits,
                drained,
                closing
            }
            .next(&busy),
            Step::Wait(_)
        ));
    }
}

#[test]
fn http2_pings_are_no_request_that_begins() {
    let limits = limits();
    let pace = unhurried(&limits);
    let activity = activity(30);
    activity.received(b"PRI * HTTP/2.0\r\n", true);
    drop(InFlight::new(&activity));
    activity.received(b"ping", false);
    assert!(matches!(pace.next(&activity), Step::Wait(at) if at >= Duration::from_secs(105)));
}

#[test]
fn a_drain_waits_a_moment_for_the_first_request_of_a_new_connection() {
    let limits = limits();
    let new = activity(1);
    let at = |drained| Pace {
        limits: &limits,
        drained: Some(drained),
        closing: None,
    };
    assert_eq!(
        at(Duration::from_secs(1)).next(&new),
        Step::Wait(Duration::from_millis(1500))
    );
    assert_eq!(at(Duration::from_millis(400)).next(&new), Step::Close);
    drop(InFlight::new(&new));
    assert_eq!(at(Duration::from_secs(1)).next(&new), Step::Close);
}
