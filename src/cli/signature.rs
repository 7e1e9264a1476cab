//! `openclaw signature`

use std::io::Read as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::{Context, Done, Error};
use crate::outbound::StandIn;
use crate::secret::Secret;

/// The largest body: what a gateway sends is smaller.
const LARGEST: u64 = 64 << 20;

/// Sign a body as deliveries are signed, or verify one
///
/// `X-OpenClaw-Signature`: `sha256=` and the HMAC-SHA256 of the exact body in hex, keyed with the secret's bytes.
/// `webhook-signature` (Standard Webhooks): `v1,` and the HMAC-SHA256 of `id.timestamp.body` in base64, keyed with the
/// secret's bytes, or with what `whsec_` stands before.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw signature sign --secret s3cret --body payload.json
  openclaw signature verify sha256=4f2a… --secret s3cret --body payload.json
  openclaw signature verify v1,K5oZ… --id evt_01 --timestamp 1773570600 --secret whsec_MfKQ… --body payload.json")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Sign(Sign),
    Verify(Verify),
}

#[derive(Debug, Args)]
struct Signed {
    /// The secret
    #[arg(
        long,
        env = "OPENCLAW_SIGNATURE_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    secret: String,
    /// The body's file; without it, what comes in
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// The value of `webhook-id`: the signature is that of Standard Webhooks
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// The value of `webhook-timestamp`, in Unix seconds
    #[arg(long, value_name = "SECONDS", requires = "id")]
    timestamp: Option<i64>,
}

/// Print the signature of a body
///
/// With --id the one of Standard Webhooks, for now or for --timestamp: then its three headers are printed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw signature sign --secret s3cret --body payload.json
  openclaw signature sign --id evt_01 --secret whsec_MfKQ… --body payload.json
  OPENCLAW_SIGNATURE_SECRET=s3cret openclaw signature sign --body payload.json
  printf '{}' | openclaw signature sign --secret s3cret")]
struct Sign {
    #[command(flatten)]
    signed: Signed,
}

/// Verify the signature of a body
///
/// Without SIGNATURE the one that the body itself carries, its last member, is verified. Whether a signed time is too long
/// ago is not judged.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw signature verify sha256=4f2a… --secret s3cret --body payload.json
  openclaw signature verify --secret s3cret --body payload.json
  openclaw signature verify v1,K5oZ… --id evt_01 --timestamp 1773570600 --secret s3cret --body payload.json

Exit codes: 0 it holds, 1 it does not, or an error.")]
struct Verify {
    /// The value of X-OpenClaw-Signature, or of webhook-signature
    #[arg(value_name = "SIGNATURE")]
    signature: Option<String>,
    #[command(flatten)]
    signed: Signed,
}

pub(crate) fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    match &arguments.command {
        Command::Sign(arguments) => {
            let body = body(&arguments.signed, context)?;
            let signed = &arguments.signed;
            let (json, text) = if let Some(id) = &signed.id {
                let timestamp = signed.timestamp.unwrap_or_else(|| context.clock.now().as_second());
                let signature = standard(signed, id, timestamp, &body)?;
                let text =
                    format!("webhook-id: {id}\nwebhook-timestamp: {timestamp}\nwebhook-signature: {signature}\n");
                (
                    json!({ "id": id, "timestamp": timestamp, "signature": signature }),
                    text,
                )
            } else {
                let code = keyed(signed)?.chain_update(&body).finalize().into_bytes();
                let signature = format!("sha256={}", hex::encode(code));
                (json!({ "signature": signature }), format!("{signature}\n"))
            };
            if context.terminal.json {
                context.terminal.answer_json(&json)?;
            } else {
                context.terminal.answer(text)?;
            }
            Ok(Done::Well)
        }
        Command::Verify(arguments) => {
            let body = body(&arguments.signed, context)?;
            let holds = verify(arguments, &body)?;
            if context.terminal.json {
                context.terminal.answer_json(&json!({ "holds": holds }))?;
            } else {
                let said = if holds {
                    "The signature holds.\n"
                } else {
                    "The signature does not hold.\n"
                };
                context.terminal.answer(said)?;
            }
            Ok(if holds { Done::Well } else { Done::No })
        }
    }
}

fn keyed(signed: &Signed) -> Result<Hmac<Sha256>, Error> {
    if signed.secret.trim().is_empty() {
        return Err(Error::new("--secret is blank"));
    }
    Hmac::new_from_slice(signed.secret.as_bytes()).map_err(|error| Error::new(error.to_string()))
}

/// `webhook-signature` of a body.
fn standard(signed: &Signed, id: &str, timestamp: i64, body: &[u8]) -> Result<String, Error> {
    let secret = Secret::parse(&signed.secret).ok_or_else(|| Error::new("--secret is blank"))?;
    let sender = StandIn::new(&[secret]).map_err(|why| Error::new(format!("--secret: {why}")))?;
    let signature = sender.standard(id, &timestamp.to_string(), body);
    signature.ok_or_else(|| Error::new("--secret is blank"))
}

fn verify(arguments: &Verify, body: &[u8]) -> Result<bool, Error> {
    if let Some(said) = arguments.signature.as_ref().filter(|said| said.starts_with("v1")) {
        let signed = &arguments.signed;
        let (Some(id), Some(timestamp)) = (&signed.id, signed.timestamp) else {
            return Err(Error::new("a `webhook-signature` signs the id and the time too")
                .hint("add --id and --timestamp: the values of webhook-id and webhook-timestamp"));
        };
        let expected = standard(signed, id, timestamp, body)?;
        // A header may hold several, one for each secret of a rotation.
        let mut entries = said.split_ascii_whitespace();
        return Ok(entries.any(|entry| entry.as_bytes().ct_eq(expected.as_bytes()).into()));
    }
    let mac = keyed(&arguments.signed)?;
    let (said, parts) = match &arguments.signature {
        Some(said) => (said.clone(), [body, &[]]),
        None => inside(body).ok_or_else(|| {
            Error::new("the body carries no signature as its last member")
                .hint("give the value of X-OpenClaw-Signature")
        })?,
    };
    let code = said.strip_prefix("sha256=").and_then(|code| hex::decode(code).ok());
    let code = code.ok_or_else(|| Error::new("the signature is not `sha256=` and 64 hex digits"))?;
    Ok(mac
        .chain_update(parts[0])
        .chain_update(parts[1])
        .verify_slice(&code)
        .is_ok())
}

/// The signature that a body carries, and what is signed: the body's bytes without that member.
fn inside(body: &[u8]) -> Option<(String, [&[u8]; 2])> {
    const MEMBER: &[u8] = br#","signature":""#;
    let start = body.windows(MEMBER.len()).rposition(|window| window == MEMBER)?;
    let rest = &body[start + MEMBER.len()..];
    let end = rest.iter().position(|byte| *byte == b'"')?;
    let said = std::str::from_utf8(&rest[..end]).ok()?;
    let after = &rest[end + 1..];
    after
        .trim_ascii()
        .eq(b"}")
        .then(|| (said.to_owned(), [&body[..start], after]))
}

fn body(signed: &Signed, context: &mut Context) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let read = match &signed.body {
        Some(file) => {
            let path = context.surroundings.directory.join(file);
            let opened = std::fs::File::open(&path).map_err(|error| Error::file("read", &path, &error))?;
            opened.take(LARGEST).read_to_end(&mut bytes)
        }
        None => (&mut context.terminal.stdin).take(LARGEST).read_to_end(&mut bytes),
    };
    read.map_err(|error| Error::new(format!("the body cannot be read: {error}")))?;
    Ok(bytes)
}
