//! AES-256-CBC, as Feishu and WeCom encrypt bodies. It proves nothing: a signature must.

use aes::Aes256;
use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use zeroize::Zeroizing;

/// The bytes of an IV, and of a block of the cipher.
pub(super) const BLOCK: usize = 16;

/// A key; wiped when it is dropped.
#[derive(Clone)]
pub(super) struct AesKey(Zeroizing<[u8; 32]>);

impl AesKey {
    /// A key of 32 bytes.
    #[must_use]
    pub(super) fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The first 16 bytes of the key: what WeCom takes as IV.
    #[must_use]
    pub(super) fn first_block(&self) -> [u8; BLOCK] {
        *self.0.first_chunk().expect("a key is longer than a block")
    }

    /// Decrypts what was padded as PKCS#7 does it to a multiple of `padded_to` bytes, at most 255. `None`: this key did
    /// not encrypt it.
    #[must_use]
    pub(super) fn decrypt(&self, iv: &[u8; BLOCK], encrypted: &[u8], padded_to: usize) -> Option<Vec<u8>> {
        let mut text = encrypted.to_vec();
        cbc::Decryptor::<Aes256>::new((&*self.0).into(), iv.into())
            .decrypt_padded::<NoPadding>(&mut text)
            .ok()?;
        let padding = *text.last()?;
        let kept = text.len().checked_sub(usize::from(padding))?;
        let right = (1..=padded_to).contains(&usize::from(padding)) && text[kept..].iter().all(|b| *b == padding);
        right.then(|| {
            text.truncate(kept);
            text
        })
    }

    /// Encrypts; the opposite of [`AesKey::decrypt`].
    #[must_use]
    pub(super) fn encrypt(&self, iv: &[u8; BLOCK], text: &[u8], padded_to: usize) -> Vec<u8> {
        let padding = padded_to - text.len() % padded_to;
        let mut padded = text.to_vec();
        padded.resize(text.len() + padding, u8::try_from(padding).expect("at most 255"));
        let length = padded.len();
        cbc::Encryptor::<Aes256>::new((&*self.0).into(), iv.into())
            .encrypt_padded::<NoPadding>(&mut padded, length)
            .expect("the text is padded to whole blocks");
        padded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NIST SP 800-38A, F.2.5: the key, the IV, the first two blocks.
    #[test]
    fn published_values_hold() {
        let key = hex::decode("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4").unwrap();
        let iv = hex::decode("000102030405060708090a0b0c0d0e0f").unwrap();
        let text = hex::decode("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51").unwrap();
        let encrypted = AesKey::new(key.try_into().unwrap()).encrypt(&iv.try_into().unwrap(), &text, BLOCK);
        assert_eq!(
            hex::encode(&encrypted[..32]),
            "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d"
        );
        assert_eq!(encrypted.len(), 48, "a full block of padding");
    }

    #[test]
    fn what_is_encrypted_is_decrypted_and_nothing_else() {
        let (key, iv) = (AesKey::new([7; 32]), [9; BLOCK]);
        for padded_to in [16, 32] {
            for length in [0, 1, 15, 16, 17, 31, 32, 33, 100] {
                let text = vec![b'x'; length];
                let encrypted = key.encrypt(&iv, &text, padded_to);
                assert_eq!(encrypted.len() % padded_to, 0);
                assert_eq!(key.decrypt(&iv, &encrypted, padded_to), Some(text));
                assert_eq!(key.decrypt(&iv, &encrypted[1..], padded_to), None);
            }
        }
        assert_eq!(key.decrypt(&iv, &[], 16), None);
        let wide = key.encrypt(&iv, b"x", 32);
        assert_eq!(
            key.decrypt(&iv, &wide, 16),
            None,
            "31 bytes of padding are not PKCS#7 of 16"
        );
        for bad in [0_u8, 17, 255] {
            // The last byte of the block before flips the padding.
            let mut encrypted = key.encrypt(&iv, &[b'x'; 16], 16);
            encrypted[15] ^= 16 ^ bad;
            assert_eq!(key.decrypt(&iv, &encrypted, 16), None, "{bad}");
        }
        let mut torn = key.encrypt(&iv, &[b'x'; 16], 16);
        torn[3] ^= 1;
        assert_eq!(key.decrypt(&iv, &torn, 16), None, "every byte of the padding counts");
    }
}
