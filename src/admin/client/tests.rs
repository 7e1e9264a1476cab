use axum::Router;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::{get, post};

use super::*;

async fn gateway(router: Router) -> Client {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = Gateway::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    Client::new(gateway, Some(Secret::new("letmein"))).unwrap()
}

#[test]
fn addresses_are_read() {
    for (text, shown) in [
        ("http://127.0.0.1:8791", "http://127.0.0.1:8791"),
        ("https://gateway.example.com/", "https://gateway.example.com"),
        ("http://[::1]:8791/admin/", "http://[::1]:8791/admin"),
        ("unix:./openclaw.sock", "unix:./openclaw.sock"),
        ("unix:///run/openclaw.sock", "unix:/run/openclaw.sock"),
    ] {
        assert_eq!(Gateway::parse(text).unwrap().to_string(), shown);
    }
    for wrong in [
        "",
        "unix:",
        "127.0.0.1:8791",
        "ftp://a",
        "http://",
        "http://u:p@a",
        "http://a?token=x",
        "localhost:1",
    ] {
        let error = Gateway::parse(wrong).unwrap_err().to_string();
        assert!(
            error.starts_with("not a gateway's address, such as"),
            "{wrong}: {error}"
        );
    }
}

#[tokio::test]
async fn the_token_is_sent_and_the_document_comes_byte_for_byte() {
    let document = |headers: HeaderMap| async move {
        assert_eq!(headers[header::AUTHORIZATION], "Bearer letmein");
        ([(header::ETAG, "\"7\"")], b"webhooks: {}\r\n\xff".to_vec())
    };
    let client = gateway(Router::new().route("/v1/document", get(document))).await;
    assert_eq!(
        client.document(Some(7)).await.unwrap(),
        (7, b"webhooks: {}\r\n\xff".to_vec())
    );
    assert!(!format!("{client:?}").contains("letmein"));
}

#[tokio::test]
async fn a_problem_is_told_as_the_gateway_told_it() {
    let apply = || async {
        let problem = Problem::new(
            409,
            Problem::STALE,
            "stale",
            "generation 6 is not the newest any more: 8 is",
        );
        (
            StatusCode::CONFLICT,
            [(header::CONTENT_TYPE, "application/problem+json")],
            serde_json::to_vec(&problem).unwrap(),
        )
    };
    let client = gateway(Router::new().route("/v1/apply", post(apply))).await;
    let error = client
        .apply(&ApplyRequest::default(), Duration::from_secs(5))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ClientError::Problem(problem) if problem.kind == Problem::STALE),
        "{error:?}"
    );
    assert_eq!(error.to_string(), "generation 6 is not the newest any more: 8 is");
}

#[tokio::test]
async fn other_answers_are_told_apart() {
    let router = Router::new()
        .route("/v1/status", get(|| async { StatusCode::UNAUTHORIZED }))
        .route("/v1/plan", post(|| async { "<html>" }))
        .route("/v1/apply", post(std::future::pending::<axum::response::Response>))
        .route(
            "/v1/generations",
            get(|| async { StatusCode::BAD_GATEWAY.into_response() }),
        );
    let client = gateway(router).await;
    let error = client.status().await.unwrap_err();
    assert!(
        matches!(error, ClientError::Unauthorized { given: true, .. }),
        "{error:?}"
    );
    let error = client.plan(&PlanRequest::default()).await.unwrap_err();
    assert!(matches!(error, ClientError::Foreign { .. }), "{error:?}");
    let error = client.generations(1, Some("a b")).await.unwrap_err();
    assert!(error.to_string().ends_with("it answered 502 Bad Gateway"), "{error}");
    let error = client
        .apply(&ApplyRequest::default(), Duration::from_millis(50))
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error:?}");
}

#[tokio::test]
async fn nothing_that_answers_is_told_apart_from_what_cannot_be_reached() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = Client::new(Gateway::Http(format!("http://{address}")), None).unwrap();
    let error = client.status().await.unwrap_err();
    assert!(matches!(error, ClientError::NothingAnswers(_)), "{error:?}");

    let directory = tempfile::tempdir().unwrap();
    let missing = Client::new(Gateway::Unix(directory.path().join("openclaw.sock")), None).unwrap();
    let error = missing.status().await.unwrap_err();
    assert!(matches!(error, ClientError::NothingAnswers(_)), "{error:?}");

    let plain = gateway(Router::new()).await;
    let tls = Gateway::parse(&plain.gateway().to_string().replace("http:", "https:")).unwrap();
    let error = Client::new(tls, None).unwrap().status().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_unix_socket_is_as_good() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("openclaw.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let router = Router::new().route("/v1/generations", get(|| async { r#"{"items":[],"next":null}"# }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = Client::new(Gateway::Unix(path.clone()), None).unwrap();
    assert!(client.generations(10, None).await.unwrap().items.is_empty());
}

/// A gateway that sends these pieces as its stream of events, and then nothing for ever.
async fn streams(pieces: Vec<Vec<u8>>) -> EventStream {
    use futures_util::{StreamExt as _, stream};
    let pieces = move || {
        let pieces = stream::iter(pieces.clone()).then(|piece| async move {
            tokio::task::yield_now().await;
            Ok::<_, std::convert::Infallible>(piece)
        });
        async move { axum::body::Body::from_stream(pieces.chain(stream::pending())) }
    };
    let client = gateway(Router::new().route("/v1/events/stream", get(pieces))).await;
    client.events(None).await.unwrap()
}

fn event(id: &str) -> String {
    let row = format!(
        r#"{{"id":"{id}","event":"a.b","timestamp":"2026-03-15T10:30:00Z","atMs":1,"owed":0,"dead":0,"data":{{}}}}"#
    );
    format!("id: {id}\nevent: a.b\ndata: {row}\n\n")
}

async fn next_id(stream: &mut EventStream) -> String {
    match stream.next().await {
        Some(Streamed::Event(row)) => row.id,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn events_are_read_however_their_bytes_are_cut() {
    let text = format!(
        ": following\n\n{}{}event: gap\ndata: {{}}\n\n",
        event("one"),
        event("two")
    );
    for size in 1..4 {
        let mut stream = streams(text.as_bytes().chunks(size).map(<[u8]>::to_vec).collect()).await;
        assert_eq!(next_id(&mut stream).await, "one");
        assert_eq!(next_id(&mut stream).await, "two");
        assert!(matches!(stream.next().await, Some(Streamed::Gap)));
    }
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_over() {
    let mut stream = streams(vec![event("one").into_bytes()]).await;
    assert_eq!(next_id(&mut stream).await, "one");
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    assert!(stream.next().await.is_none());
    assert_eq!(began.elapsed().as_secs(), stream::SILENCE.as_secs());
}

#[test]
fn an_authority_that_is_not_trusted_is_known_by_its_error_and_not_by_words() {
    use std::io::{Error, ErrorKind};
    let of_tls = |why| rustls::Error::InvalidCertificate(why);
    let unknown = || of_tls(rustls::CertificateError::UnknownIssuer);
    let told = |error: Error| super::is_unknown_issuer(&error);
    assert!(super::is_unknown_issuer(&unknown()));
    assert!(told(Error::new(ErrorKind::InvalidData, unknown())));
    // As the connector of HTTP wraps what the handshake said.
    assert!(told(Error::other(Error::new(ErrorKind::InvalidData, unknown()))));
    assert!(!told(Error::other(of_tls(rustls::CertificateError::Expired))));
    assert!(!told(Error::other("no such host: UnknownIssuer.example")));
    assert!(!told(ErrorKind::UnexpectedEof.into()));
}
