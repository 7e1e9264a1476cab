//! The bare server that everything is measured beside.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::net::TcpListener;

use super::{SECRET, serve_on};

/// The yardstick: hyper, the body read whole, the same HMAC, 200.
pub(super) async fn serve() {
    use http_body_util::{BodyExt as _, Full};
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    println!("bare on http://{}", listener.local_addr().expect("a bound address"));
    let key = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length is a key");
    serve_on(listener, move |request| {
        let mut mac = key.clone();
        async move {
            let sent = request
                .headers()
                .get("x-hub-signature-256")
                .and_then(|v| v.to_str().ok())
                .map(str::to_owned);
            let body = request.into_body().collect().await?.to_bytes();
            mac.update(&body);
            let sent = sent
                .and_then(|s| hex::decode(s.strip_prefix("sha256=")?).ok())
                .unwrap_or_default();
            let status = if mac.verify_slice(&sent).is_ok() { 200 } else { 401 };
            let answer = hyper::Response::builder()
                .status(status)
                .body(Full::new(bytes::Bytes::new()));
            Ok::<_, hyper::Error>(answer.expect("a constant answer"))
        }
    })
    .await;
}
