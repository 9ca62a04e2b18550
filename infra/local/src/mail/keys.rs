//! The DKIM keys: RSA as retailers use, made once for a state directory.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use mail_auth::{
    common::{
        crypto::{RsaKey, Sha256},
        headers::HeaderWriter,
    },
    dkim::DkimSigner,
};
use rsa::{
    RsaPrivateKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding},
    rand_core::OsRng,
};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

/// The selector of all keys.
const SELECTOR: &str = "local";
/// What a signature covers, as SES signs.
const SIGNED_HEADERS: [&str; 7] =
    ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"];
/// Bits of a key.
const KEY_BITS: usize = 2048;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// None was made.
    #[error("no DKIM key was made")]
    Make(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A file cannot be used.
    #[error("cannot keep the DKIM key {0}")]
    File(String, #[source] io::Error),
    /// A key is none.
    #[error("{0} holds no DKIM key: remove it")]
    Unreadable(String, #[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A key for each domain.
pub(super) struct Keys {
    keys: BTreeMap<String, DomainKey>,
}

struct DomainKey {
    signer: Arc<RsaKey<Sha256>>,
    /// What DNS answers.
    record: String,
}

impl Keys {
    /// Reads the keys of `domains`; makes those that are missing.
    pub(super) fn open(directory: &Path, domains: &BTreeSet<String>) -> Result<Self, KeysError> {
        fs::create_dir_all(directory).map_err(|error| file_error(directory, error))?;
        let mut keys = BTreeMap::new();
        for domain in domains {
            let file = directory.join(format!("{domain}.pem"));
            if !file.exists() {
                write(&file, &make()?)?;
            }
            keys.insert(domain.clone(), read(&file)?);
        }
        Ok(Self { keys })
    }

    /// The domains.
    pub(super) fn domains(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// What DNS answers for which name.
    pub(super) fn records(&self) -> impl Iterator<Item = (String, &str)> {
        let name = |domain: &str| format!("{SELECTOR}._domainkey.{domain}");
        self.keys.iter().map(move |(domain, key)| (name(domain), key.record.as_str()))
    }

    /// The signature of `domain` under a mail, as a header; none without a key.
    pub(super) fn sign(&self, domain: &str, raw: &[u8]) -> Option<String> {
        let key = self.keys.get(domain)?;
        let signer = DkimSigner::from_key(SharedKey(Arc::clone(&key.signer)))
            .domain(domain)
            .selector(SELECTOR)
            .headers(SIGNED_HEADERS);
        signer.sign(raw).ok().map(|signature| signature.to_header())
    }
}

/// A key that several signers use.
struct SharedKey(Arc<RsaKey<Sha256>>);

impl mail_auth::common::crypto::SigningKey for SharedKey {
    type Hasher = Sha256;

    fn sign(&self, input: impl mail_auth::common::headers::Writable) -> mail_auth::Result<Vec<u8>> {
        self.0.sign(input)
    }

    fn algorithm(&self) -> mail_auth::common::crypto::Algorithm {
        self.0.algorithm()
    }
}

/// A key as PEM (PKCS#8).
fn make() -> Result<String, KeysError> {
    let key = RsaPrivateKey::new(&mut OsRng, KEY_BITS);
    let key = key.map_err(|error| KeysError::Make(error.into()))?;
    let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(|error| KeysError::Make(error.into()))?;
    Ok(pem.to_string())
}

fn read(file: &Path) -> Result<DomainKey, KeysError> {
    let unreadable = |error| KeysError::Unreadable(file.display().to_string(), error);
    let pem = fs::read_to_string(file).map_err(|error| file_error(file, error))?;
    let key = RsaPrivateKey::from_pkcs8_pem(&pem).map_err(|error| unreadable(error.into()))?;
    let public = key.to_public_key().to_public_key_der();
    let public = public.map_err(|error| unreadable(error.to_string().into()))?;
    let record = format!("v=DKIM1; k=rsa; p={}", BASE64.encode(public.as_bytes()));
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes());
    let key = key.map_err(|error| unreadable(error.into()))?;
    let signer = RsaKey::from_key_der(key).map_err(|error| unreadable(error.to_string().into()))?;
    Ok(DomainKey { signer: Arc::new(signer), record })
}

fn write(file: &Path, text: &str) -> Result<(), KeysError> {
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file);
    opened
        .and_then(|mut opened| opened.write_all(text.as_bytes()))
        .map_err(|error| file_error(file, error))
}

fn file_error(file: &Path, error: io::Error) -> KeysError {
    KeysError::File(file.display().to_string(), error)
}
