//! Names whose addresses change, or are not to be had: a resolver of the test's own in the place of the system's.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::*;
use crate::document::settings::Schedule;
use crate::store::Outcome;

/// The address that the policy allows, beside the public ones.
const ALLOWED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

fn only_the_second() -> Egress {
    Egress {
        allow_networks: vec!["127.0.0.2/32".parse().unwrap()],
        ..this_machine()
    }
}

/// Answers the n-th look (from 0) with these addresses; counts the looks.
fn resolver(answer: impl Fn(usize) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> (Clients, Arc<AtomicUsize>) {
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&looks);
    let lookup = move |host: &str| {
        assert_eq!(host, "moves.test");
        let found = answer(counted.fetch_add(1, SeqCst))?;
        Ok(found.into_iter().map(|address| SocketAddr::new(address, 0)).collect())
    };
    (Clients::with_names(Arc::new(lookup)), looks)
}

/// Two receivers on one port: the one at 127.0.0.2 may be reached, whoever connects to the one at 127.0.0.1 is counted.
struct Ports {
    allowed: Receiver,
    trapped: Arc<AtomicUsize>,
    _trap: tokio::task::JoinSet<()>,
}

impl Ports {
    async fn open() -> Self {
        loop {
            let allowed = Receiver::closing((ALLOWED, 0).into()).await;
            let port = allowed.address.port();
            // The port may be another's at this address.
            let Ok(trap) = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await else {
                continue;
            };
            let trapped = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&trapped);
            let mut tasks = tokio::task::JoinSet::new();
            tasks.spawn(async move {
                loop {
                    drop(trap.accept().await);
                    counted.fetch_add(1, SeqCst);
                }
            });
            return Self {
                allowed,
                trapped,
                _trap: tasks,
            };
        }
    }

    fn url(&self) -> String {
        format!("http://moves.test:{}/hook?a=b", self.allowed.address.port())
    }
}

#[tokio::test]
async fn a_name_that_moves_after_the_check_is_never_followed() {
    let ports = Ports::open().await;
    // Allowed at each attempt's first look, and inside the network at the next one.
    let inside = [Ipv4Addr::LOCALHOST, METADATA];
    let (clients, looks) = resolver(move |look| {
        Ok(match look % 2 {
            0 => vec![ALLOWED.into()],
            _ => vec![inside[look / 2 % 2].into()],
        })
    });
    let gateway = Gateway::on(clients);
    gateway.dispatcher.set_egress(&only_the_second());
    gateway.put(KEY, &ports.url(), |s| s.breaker = None);
    for number in 0..8 {
        gateway.owe(KEY, event(number));
        gateway.settled(number + 1).await;
        assert_eq!(
            looks.load(SeqCst),
            number + 1,
            "one look for each connection, and what it found is used"
        );
    }
    // What was looked up and checked was connected to; what was refused was not, whatever was found before.
    let errors: Vec<_> = gateway.store.attempts().iter().map(|attempt| attempt.error).collect();
    assert_eq!(errors, [None, Some("egress")].repeat(4));
    assert_eq!(ports.allowed.count(), 4);
    a_while().await;
    assert_eq!(ports.trapped.load(SeqCst), 0);
}

#[tokio::test]
async fn of_many_addresses_only_those_that_passed_are_tried() {
    let ports = Ports::open().await;
    let (clients, _) = resolver(|look| {
        let inside = [IpAddr::V4(Ipv4Addr::LOCALHOST), METADATA.into(), "::1".parse().unwrap()];
        let mut found = inside.to_vec();
        // At every place among the others.
        found.insert(look % 4, ALLOWED.into());
        Ok(found)
    });
    let gateway = Gateway::on(clients);
    gateway.dispatcher.set_egress(&only_the_second());
    gateway.put(KEY, &ports.url(), |_| {});
    for number in 0..4 {
        gateway.owe(KEY, event(number));
    }
    gateway.settled(4).await;
    assert_eq!(gateway.store.outcomes(), vec![Outcome::Delivered; 4]);
    assert_eq!(ports.allowed.count(), 4);
    a_while().await;
    assert_eq!(ports.trapped.load(SeqCst), 0);
}

#[tokio::test]
async fn every_spelling_that_a_resolver_may_answer_is_judged_by_its_address() {
    // Mapped, translated, 6to4 and Teredo forms of 127.0.0.1 and 169.254.169.254.
    let forms = [
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:1234::80ff:fffe",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fd00:ec2::254",
        "::1",
        "::",
        "0.0.0.0",
    ];
    let (clients, looks) = resolver(move |look| Ok(vec![forms[look].parse().unwrap()]));
    let gateway = Gateway::on(clients);
    gateway.dispatcher.set_egress(&Egress {
        allow_networks: Vec::new(),
        ..this_machine()
    });
    gateway.put(KEY, "http://moves.test/hook?a=b", |s| s.breaker = None);
    for (number, form) in forms.iter().enumerate() {
        gateway.owe(KEY, event(number));
        gateway.settled(number + 1).await;
        let attempt = &gateway.store.attempts()[number];
        assert_eq!(attempt.error, Some("egress"), "{form}: {:?}", attempt.detail);
    }
    assert_eq!(looks.load(SeqCst), forms.len());
}

#[tokio::test]
async fn a_resolver_that_fails_and_comes_back_costs_attempts_and_no_event() {
    let ports = Ports::open().await;
    let (clients, looks) = resolver(|look| match look {
        0 => Err(io::Error::other("temporary failure in name resolution")),
        1 => Ok(Vec::new()),
        2 => Err(io::Error::other("no such name")),
        _ => Ok(vec![ALLOWED.into()]),
    });
    let gateway = Gateway::on(clients);
    gateway.dispatcher.set_egress(&only_the_second());
    gateway.put(KEY, &ports.url(), |s| {
        s.schedule = Schedule::List(vec![Duration::from_secs(1); 4]);
    });
    gateway.owe(KEY, event(0));
    for attempt in 1..=4 {
        gateway.settled(attempt).await;
        gateway.in_ms(2000);
    }
    let errors: Vec<_> = gateway.store.attempts().iter().map(|attempt| attempt.error).collect();
    assert_eq!(errors, [Some("dns"), Some("dns"), Some("dns"), None]);
    assert_eq!(gateway.store.outcomes()[3], Outcome::Delivered);
    assert_eq!((looks.load(SeqCst), ports.allowed.count()), (4, 1));
}
