//! `openclaw signature`

use std::io::Read as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{Context, Done, Error};

/// The largest body: what a gateway sends is smaller.
const LARGEST: u64 = 64 << 20;

/// Sign a body as deliveries are signed, or verify one
///
/// `X-OpenClaw-Signature`: `sha256=` and the HMAC-SHA256 of the exact body in hex, keyed with the secret's bytes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw signature sign --secret s3cret --body payload.json
  openclaw signature verify sha256=4f2a… --secret s3cret --body payload.json")]
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
}

/// Print the signature of a body
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw signature sign --secret s3cret --body payload.json
  OPENCLAW_SIGNATURE_SECRET=s3cret openclaw signature sign --body payload.json
  printf '{}' | openclaw signature sign --secret s3cret")]
struct Sign {
    #[command(flatten)]
    signed: Signed,
}

/// Verify the signature of a body
///
/// Without SIGNATURE the one that the body itself carries, its last member, is verified.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw signature verify sha256=4f2a… --secret s3cret --body payload.json
  openclaw signature verify --secret s3cret --body payload.json

Exit codes: 0 it holds, 1 it does not, or an error.")]
struct Verify {
    /// The value of X-OpenClaw-Signature
    #[arg(value_name = "SIGNATURE")]
    signature: Option<String>,
    #[command(flatten)]
    signed: Signed,
}

pub(crate) fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    match &arguments.command {
        Command::Sign(arguments) => {
            let body = body(&arguments.signed, context)?;
            let code = keyed(&arguments.signed)?.chain_update(&body).finalize().into_bytes();
            let signature = format!("sha256={}", hex::encode(code));
            if context.terminal.json {
                context
                    .terminal
                    .answer_json(&serde_json::json!({ "signature": signature }))?;
            } else {
                context.terminal.answer(format!("{signature}\n"))?;
            }
            Ok(Done::Well)
        }
        Command::Verify(arguments) => {
            let body = body(&arguments.signed, context)?;
            let holds = verify(arguments, &body)?;
            if context.terminal.json {
                context.terminal.answer_json(&serde_json::json!({ "holds": holds }))?;
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

fn verify(arguments: &Verify, body: &[u8]) -> Result<bool, Error> {
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
