//! JSON Web Tokens that prove a request: RFC 7519, signed with RS256 and nothing else.

use std::time::Duration;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::json::Json;
use super::jwks::{Key, Keys};
use super::request::Refusal;
use crate::document::settings::Jwks;

/// What a platform's tokens say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// `iss` is one of these.
    pub(super) issuers: &'static [&'static str],
    /// Where the keys are, if the document does not say.
    pub(super) keys_url: &'static str,
}

/// Checks the tokens of one route.
pub(super) struct Verifier {
    keys: Keys,
    audience: Box<str>,
    issuers: &'static [&'static str],
    tolerance: Duration,
}

impl Verifier {
    /// Tokens for this audience, signed with the document's key set or the platform's.
    ///
    /// # Errors
    /// Says what is wrong with `jwks`.
    pub(super) fn new(
        expected: Expected,
        audience: &str,
        jwks: Option<&Jwks>,
        tolerance: Duration,
    ) -> Result<Self, String> {
        let keys = match jwks {
            Some(Jwks::Inline(text)) => Keys::inline(text)?,
            Some(Jwks::Url(url)) => Keys::at(url)?,
            None => Keys::at(expected.keys_url)?,
        };
        Ok(Self {
            keys,
            audience: audience.into(),
            issuers: expected.issuers,
            tolerance,
        })
    }

    /// Fetches the keys, where they are fetched.
    pub(super) fn learn(&self) -> Option<BoxFuture<'_, ()>> {
        self.keys.learn()
    }

    /// Checks a token; `also` sees its claims once its signature, audience, issuer and times hold.
    pub(super) fn verify(
        &self,
        token: &str,
        now: Timestamp,
        also: impl FnOnce(&Json<'_>, &Key) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let wrong = |detail: &'static str| Refusal::signature(detail);
        let mut parts = token.split('.');
        let (Some(head), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong("the token has not three parts"));
        };
        let signed = &token[..head.len() + 1 + claims.len()];
        let decode = |text: &str| {
            URL_SAFE_NO_PAD
                .decode(text)
                .map_err(|_| wrong("the token is not base64url"))
        };
        let (head, claims, signature) = (decode(head)?, decode(claims)?, decode(signature)?);

        let head = Json::parse(&head).map_err(|_| wrong("the token's header is no JSON"))?;
        if head.text("alg") != Ok(Some("RS256")) {
            return Err(wrong("the token's alg is not RS256"));
        }
        if head.get("crit").is_some() {
            return Err(wrong("the token's header has `crit`"));
        }
        let Ok(Some(kid)) = head.text("kid") else {
            return Err(wrong("the token's header has no kid"));
        };
        let key = self
            .keys
            .find(kid)?
            .ok_or_else(|| wrong("the token's kid is not in the key set"))?;
        let public_key = RsaPublicKeyComponents { n: &key.n, e: &key.e };
        public_key
            .verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature)
            .map_err(|_| wrong("the token's signature does not match"))?;

        let claims = Json::parse(&claims).map_err(|_| wrong("the token's claims are no JSON"))?;
        let audience = match claims.get("aud") {
            Some(Json::List(items)) => items.iter().any(|item| item.as_text() == Some(&self.audience)),
            Some(one) => one.as_text() == Some(&self.audience),
            None => false,
        };
        if !audience {
            return Err(wrong("the token is for another audience"));
        }
        let issuer = claims.get("iss").and_then(Json::as_text);
        if !issuer.is_some_and(|issuer| self.issuers.contains(&issuer)) {
            return Err(wrong("the token is of another issuer"));
        }
        self.check_times(&claims, now)?;
        also(&claims, &key)
    }

    fn check_times(&self, claims: &Json<'_>, now: Timestamp) -> Result<(), Refusal> {
        let (now_ms, tolerance_ms) = (
            i128::from(now.as_millisecond()),
            self.tolerance.as_millis().cast_signed(),
        );
        let expires = time(claims, "exp")?.ok_or_else(|| Refusal::signature("the token has no exp"))?;
        if now_ms > expires + tolerance_ms {
            return Err(Refusal::stale(format!(
                "the token expired {} s ago, the tolerance is {} s",
                (now_ms - expires) / 1000,
                self.tolerance.as_secs()
            )));
        }
        for name in ["nbf", "iat"] {
            if time(claims, name)?.is_some_and(|from| from > now_ms + tolerance_ms) {
                return Err(Refusal::stale(format!("the token's {name} is still to come")));
            }
        }
        Ok(())
    }
}

/// A claim that is a time, in milliseconds; a fraction of a second is cut off.
fn time(claims: &Json<'_>, name: &str) -> Result<Option<i128>, Refusal> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let seconds = match value {
        Json::Number(text) => text.split('.').next().and_then(|whole| whole.parse::<i64>().ok()),
        _ => None,
    };
    match seconds {
        Some(seconds) => Ok(Some(i128::from(seconds) * 1000)),
        None => Err(Refusal::signature(format!("the token's {name} is no time"))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair};

    use super::*;
    use crate::clock::from_ms;

    const NOW: i64 = 1_773_570_600;
    const HEAD: &str = r#"{"alg":"RS256","kid":"k"}"#;

    static PAIR: LazyLock<RsaKeyPair> = LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());

    fn sign_with(encoding: &'static dyn RsaEncoding, head: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
        let mut signature = vec![0; PAIR.public_modulus_len()];
        PAIR.sign(encoding, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn sign(head: &str, claims: &str) -> String {
        sign_with(&RSA_PKCS1_SHA256, head, claims)
    }

    fn key_set() -> Jwks {
        // The last numbers of the DER are the modulus and 65537.
        let der = PAIR.public_key().as_der().unwrap();
        let der: &[u8] = der.as_ref();
        let modulus = URL_SAFE_NO_PAD.encode(&der[der.len() - 256 - 5..der.len() - 5]);
        let key = format!(r#"{{"kty":"RSA","kid":"k","n":"{modulus}","e":"AQAB","endorsements":["msteams"]}}"#);
        Jwks::Inline(format!(r#"{{"keys":[{key}]}}"#))
    }

    fn verifier() -> Verifier {
        let expected = Expected {
            issuers: &["me", "us"],
            keys_url: "",
        };
        Verifier::new(expected, "you", Some(&key_set()), Duration::from_mins(5)).unwrap()
    }

    fn check(token: &str) -> Result<(), &'static str> {
        verifier()
            .verify(token, from_ms(NOW * 1000), |_, _| Ok(()))
            .map_err(|refusal| {
                assert_eq!(refusal.status.as_u16(), 401);
                refusal.reason.as_str()
            })
    }

    fn claims(more: &str) -> String {
        format!(r#"{{"iss":"us","aud":"you"{more}}}"#)
    }

    fn exp(more: &str) -> String {
        claims(&format!(r#","exp":{NOW}{more}"#))
    }

    #[test]
    fn a_right_token_holds() {
        assert_eq!(check(&sign(HEAD, &exp(""))), Ok(()));
        let both = format!(r#"{{"iss":"me","aud":["x","you"],"exp":{NOW}.9,"nbf":{NOW},"iat":0}}"#);
        assert_eq!(check(&sign(HEAD, &both)), Ok(()));
    }

    #[test]
    fn only_rs256_of_a_known_key_holds() {
        for head in [
            r#"{"alg":"none","kid":"k"}"#,
            r#"{"alg":"HS256","kid":"k"}"#,
            r#"{"alg":"RS512","kid":"k"}"#,
            r#"{"alg":"rs256","kid":"k"}"#,
            r#"{"alg":["RS256"],"kid":"k"}"#,
            r#"{"kid":"k"}"#,
            r#"{"alg":"RS256"}"#,
            r#"{"alg":"RS256","kid":7}"#,
            r#"{"alg":"RS256","kid":"K"}"#,
            r#"{"alg":"RS256","kid":"k","crit":["exp"]}"#,
            r#"["RS256"]"#,
            "x",
        ] {
            assert_eq!(check(&sign(head, &exp(""))), Err("signature"), "{head}");
        }
        assert_eq!(check(&sign_with(&RSA_PKCS1_SHA512, HEAD, &exp(""))), Err("signature"));
    }

    #[test]
    fn claims_are_strict() {
        for bad in [
            claims(""),
            claims(r#","exp":null"#),
            claims(r#","exp":"1773570600""#),
            claims(r#","exp":1e12"#),
            exp(r#","nbf":"x""#),
            exp(r#","iat":[]"#),
            format!(r#"{{"iss":"you","aud":"you","exp":{NOW}}}"#),
            format!(r#"{{"aud":"you","exp":{NOW}}}"#),
            format!(r#"{{"iss":"us","exp":{NOW}}}"#),
            format!(r#"{{"iss":"us","aud":"you2","exp":{NOW}}}"#),
            format!(r#"{{"iss":"us","aud":["x",["you"]],"exp":{NOW}}}"#),
            format!(r#"{{"iss":["us"],"aud":"you","exp":{NOW}}}"#),
            "[]".to_owned(),
            "{".to_owned(),
        ] {
            assert_eq!(check(&sign(HEAD, &bad)), Err("signature"), "{bad}");
        }
    }

    #[test]
    fn times_hold_within_the_tolerance() {
        let at = |name: &str, seconds: i64| match name {
            "exp" => check(&sign(HEAD, &claims(&format!(r#","exp":{seconds}"#)))),
            name => check(&sign(HEAD, &exp(&format!(r#","{name}":{seconds}"#)))),
        };
        assert_eq!(at("exp", NOW - 300), Ok(()));
        assert_eq!(at("exp", NOW - 301), Err("stale"));
        assert_eq!(at("exp", i64::MIN), Err("stale"));
        assert_eq!(at("exp", i64::MAX), Ok(()));
        for name in ["nbf", "iat"] {
            assert_eq!(at(name, NOW + 300), Ok(()));
            assert_eq!(at(name, NOW + 301), Err("stale"));
        }
    }

    #[test]
    fn a_damaged_token_does_not_hold() {
        let token = sign(HEAD, &exp(""));
        for at in 0..token.len() {
            for other in [b'A', b'.', b'=', b'_'] {
                let mut bytes = token.clone().into_bytes();
                if bytes[at] != other {
                    bytes[at] = other;
                    let damaged = String::from_utf8(bytes).unwrap();
                    assert!(check(&damaged).is_err(), "{at}");
                }
            }
        }
        for bad in [
            "",
            ".",
            "..",
            "...",
            &token[..token.len() - 1],
            &format!("{token}A"),
            &format!("{token}."),
        ] {
            assert!(check(bad).is_err());
        }
    }

    #[tokio::test]
    async fn a_teams_token_and_its_key_fit_the_body() {
        use crate::inbound::fake::{Stage, inbound};
        let mut settings = inbound("t", "msteams");
        settings.audience = Some("you".into());
        settings.jwks = Some(key_set());
        let stage = Stage::with(settings);
        for (told, body, status) in [
            (
                r#","serviceurl":"s""#,
                r#"{"serviceUrl":"s","channelId":"msteams"}"#,
                200,
            ),
            (
                r#","serviceurl":"s""#,
                r#"{"serviceUrl":"t","channelId":"msteams"}"#,
                401,
            ),
            (r#","serviceurl":"s""#, r#"{"serviceUrl":"s","channelId":"skype"}"#, 401),
            (r#","serviceurl":"s""#, r#"{"serviceUrl":"s"}"#, 401),
            (r#","serviceurl":"s""#, r#"{"channelId":"msteams"}"#, 401),
            ("", r#"{"channelId":"msteams"}"#, 401),
            (
                r#","serviceurl":null"#,
                r#"{"serviceUrl":null,"channelId":"msteams"}"#,
                401,
            ),
            (r#","serviceurl":"s""#, "{", 400),
        ] {
            let claims = format!(r#"{{"iss":"https://api.botframework.com","aud":"you","exp":{NOW}{told}}}"#);
            let request = http::Request::post("/webhook/t")
                .header("authorization", format!("Bearer {}", sign(HEAD, &claims)))
                .body(http_body_util::Full::new(bytes::Bytes::from(body)))
                .unwrap();
            let answer = stage.routes.handle(request, crate::inbound::Peer::Unix).await;
            assert_eq!(answer.status().as_u16(), status, "{told} {body}");
        }
    }
}
