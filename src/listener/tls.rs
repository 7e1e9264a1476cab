//! Certificate and key, checked against each other before anything uses them.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

use crate::secret::Secret;

/// Why a certificate and its key cannot serve.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TlsError {
    /// The certificate's file has no certificate.
    #[error(
        "the certificate file has no `-----BEGIN CERTIFICATE-----` section{}",
        if *.key_inside { "; it has a private key: are `cert` and `key` swapped?" } else { "" }
    )]
    NoCertificate {
        /// Whether it has a private key instead.
        key_inside: bool,
    },
    /// A certificate of the chain does not parse.
    #[error("certificate {position} in the certificate file is broken: {reason}")]
    BrokenCertificate {
        /// Its place in the file, from 1.
        position: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The key's file has no key.
    #[error(
        "the key file has no private key section (PKCS#8, PKCS#1 or SEC1, in PEM){}",
        if *.certificate_inside { "; it has a certificate: are `cert` and `key` swapped?" } else { "" }
    )]
    NoKey {
        /// Whether it has a certificate instead.
        certificate_inside: bool,
    },
    /// The key is locked by a passphrase.
    #[error("the private key is encrypted; write it without its passphrase: `openssl pkey -in KEY -out PLAIN`")]
    EncryptedKey,
    /// The key does not parse, or is of a kind that TLS cannot use.
    #[error(
        "the private key is broken, or not of a usable kind (RSA of 2048 bits or more, ECDSA P-256/P-384/P-521, Ed25519)"
    )]
    BrokenKey,
    /// Key and certificate belong to different pairs.
    #[error(
        "the private key does not belong to the first certificate of the file{}",
        match .fits { Some(position) => format!("; it belongs to certificate {position}: put that one first"), None => String::new() }
    )]
    Mismatch {
        /// The certificate that the key does belong to, from 1.
        fits: Option<usize>,
    },
}

/// A certificate chain with its key, ready to serve. Cheap to clone.
#[derive(Clone)]
pub struct Tls(Arc<ServerConfig>);

impl Tls {
    /// Reads and checks a PEM chain (the listener's own certificate first) and the key that belongs to it.
    #[expect(clippy::missing_panics_doc, reason = "it cannot: the provider has the suites")]
    pub fn prepare(cert_pem: &str, key_pem: &Secret) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = read_chain(cert_pem)?;
        let key = read_key(key_pem)?;
        let key = provider
            .key_provider
            .load_private_key(key)
            .map_err(|_| TlsError::BrokenKey)?;
        if let Some(public) = key.public_key() {
            let fits = |certificate: &CertificateDer<'_>| {
                ParsedCertificate::try_from(certificate).is_ok_and(|parsed| parsed.subject_public_key_info() == public)
            };
            match chain.iter().position(fits) {
                Some(0) => {}
                position => {
                    return Err(TlsError::Mismatch {
                        fits: position.map(|position| position + 1),
                    });
                }
            }
        }
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("aws-lc-rs has cipher suites of both protocol versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(CertifiedKey::new(
                chain, key,
            ))));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    pub(super) fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        tokio_rustls::TlsAcceptor::from(Arc::clone(&self.0))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

fn read_chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let mut chain = Vec::new();
    for (index, section) in CertificateDer::pem_slice_iter(pem.as_bytes()).enumerate() {
        let broken = |reason: String| TlsError::BrokenCertificate {
            position: index + 1,
            reason,
        };
        let certificate = section.map_err(|error| broken(error.to_string()))?;
        ParsedCertificate::try_from(&certificate).map_err(|error| broken(error.to_string()))?;
        chain.push(certificate);
    }
    if chain.is_empty() {
        return Err(TlsError::NoCertificate {
            key_inside: pem.contains("PRIVATE KEY-----"),
        });
    }
    Ok(chain)
}

fn read_key(pem: &Secret) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = pem.expose();
    if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(TlsError::EncryptedKey);
    }
    // The parser's own message may quote a line of the file: it is not passed on.
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| match error {
        rustls_pki_types::pem::Error::NoItemsFound => TlsError::NoKey {
            certificate_inside: text.contains("-----BEGIN CERTIFICATE-----"),
        },
        _ => TlsError::BrokenKey,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, Secret) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        (made.cert.pem(), Secret::new(made.signing_key.serialize_pem()))
    }

    fn fault(cert: &str, key: &Secret) -> TlsError {
        Tls::prepare(cert, key).expect_err("must be refused")
    }

    #[test]
    fn a_certificate_with_its_key_is_taken() {
        let (cert, key) = pair();
        assert!(Tls::prepare(&cert, &key).is_ok());
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let ((cert, _), (_, key)) = (pair(), pair());
        assert_eq!(fault(&cert, &key), TlsError::Mismatch { fits: None });
    }

    #[test]
    fn a_chain_in_the_wrong_order_says_which_certificate_comes_first() {
        let ((leaf, key), (other, _)) = (pair(), pair());
        let error = fault(&format!("{other}{leaf}"), &key);
        assert_eq!(error, TlsError::Mismatch { fits: Some(2) });
        assert!(
            error
                .to_string()
                .ends_with("it belongs to certificate 2: put that one first")
        );
    }

    #[test]
    fn swapped_files_are_recognised() {
        let (cert, key) = pair();
        assert_eq!(fault(key.expose(), &key), TlsError::NoCertificate { key_inside: true });
        assert_eq!(
            fault(&cert, &Secret::new(cert.clone())),
            TlsError::NoKey {
                certificate_inside: true
            }
        );
    }

    #[test]
    fn each_broken_part_is_named() {
        let (cert, key) = pair();
        assert_eq!(fault("", &key), TlsError::NoCertificate { key_inside: false });
        assert_eq!(
            fault(&cert, &Secret::new("none")),
            TlsError::NoKey {
                certificate_inside: false
            }
        );
        let broken = format!("{cert}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        assert!(matches!(
            fault(&broken, &key),
            TlsError::BrokenCertificate { position: 2, .. }
        ));
        let cut: String = key
            .expose()
            .lines()
            .filter(|line| !line.contains("END"))
            .collect::<Vec<_>>()
            .join("\n");
        assert_eq!(fault(&cert, &Secret::new(cut)), TlsError::BrokenKey);
        let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        assert_eq!(fault(&cert, &Secret::new(locked)), TlsError::EncryptedKey);
    }

    #[test]
    fn no_error_quotes_the_key() {
        let (cert, key) = pair();
        let line = key.expose().lines().nth(1).unwrap().to_owned();
        let torn = key.expose().replace("-----END", "----END");
        for error in [
            fault(&cert, &Secret::new(torn)),
            fault(&cert, &pair().1),
            fault(key.expose(), &key),
        ] {
            assert!(!format!("{error} {error:?}").contains(&line));
        }
    }
}
