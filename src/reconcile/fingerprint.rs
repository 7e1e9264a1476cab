//! Whether the value behind a reference is another one, without keeping the value: keyed fingerprints.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::document::{self, Address, Desired, Lookup};
use crate::plan::Fingerprints;

/// The key of a field's fingerprint: address and field.
pub(super) fn key(address: &Address, field: &str) -> String {
    format!("{address} {field}")
}

/// The fingerprints of every value that is sensitive or lies in a file. What cannot be read now keeps the fingerprint in
/// `before`: it changes when it can be read again.
pub(super) fn all(desired: &Desired, lookup: &dyn Lookup, store_key: &[u8; 32], before: &Fingerprints) -> Fingerprints {
    document::expect(desired, lookup);
    let mut fingerprints = BTreeMap::new();
    for (address, resource) in &desired.resources {
        for (field, value) in document::sensitive_values(resource, lookup) {
            fingerprints.insert(key(address, &field), fingerprint(store_key, value.expose_bytes()));
        }
        for reference in document::references(resource, lookup) {
            let key = key(address, &reference.field);
            if let (false, Some(standing)) = (fingerprints.contains_key(&key), before.get(&key)) {
                fingerprints.insert(key, standing.clone());
            }
        }
    }
    fingerprints
}

fn fingerprint(store_key: &[u8; 32], value: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(store_key).expect("HMAC takes a key of any length");
    mac.update(value);
    hex::encode(mac.finalize().into_bytes())
}

/// SHA-256 in hex: the identity of a document's bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Every file that a document names, with the fields that name it.
pub(super) fn files(desired: &Desired, lookup: &dyn Lookup) -> BTreeMap<String, Vec<String>> {
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for resource in desired.resources.values() {
        for reference in document::references(resource, lookup) {
            if let document::Target::File(path) = reference.target {
                files.entry(path).or_default().push(reference.field);
            }
        }
    }
    files
}
