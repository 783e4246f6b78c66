//! A client's private key and its certificate, in files.

use std::path::{Path, PathBuf};

use aws_lc_rs::{
    digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256},
    encoding::AsDer,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::KeyPair as _,
};
use base64::prelude::*;
use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use serde_json::{Value, json};

pub struct ClientKey {
    pub jwk: Value,
    key: String,
    certificate: String,
    thumbprints: [String; 2],
}

fn encoded(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

impl ClientKey {
    /// A key for RS256, in PKCS #1 as Coder has it, for ES256 or for ES384, in PKCS #8.
    pub fn generate(algorithm: &str) -> Self {
        let (pair, key, jwk) = match algorithm {
            "RS256" => rsa(),
            "ES256" => ec(&rcgen::PKCS_ECDSA_P256_SHA256, "P-256"),
            "ES384" => ec(&rcgen::PKCS_ECDSA_P384_SHA384, "P-384"),
            other => panic!("no keys for {other}"),
        };
        let mut params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
        // Those of a rotation are told apart by their ends.
        params.not_after = rcgen::date_time_ymd(if algorithm == "RS256" { 2100 } else { 2101 }, 1, 1);
        let certificate = params.self_signed(&pair).unwrap();
        let thumbprint = |hash| encoded(digest::digest(hash, certificate.der()).as_ref());
        let thumbprints = [thumbprint(&SHA1_FOR_LEGACY_USE_ONLY), thumbprint(&SHA256)];
        Self { jwk, key, certificate: certificate.pem(), thumbprints }
    }

    /// The files in a folder.
    pub fn paths(folder: &Path) -> [PathBuf; 2] {
        ["client-key.pem", "client-cert.pem"].map(|name| folder.join(name))
    }

    /// Writes the key into a folder, each file at once.
    pub fn write_key(&self, folder: &Path) {
        replace(&Self::paths(folder)[0], &self.key);
    }

    pub fn write_certificate(&self, folder: &Path) {
        replace(&Self::paths(folder)[1], &self.certificate);
    }

    /// `x5t` and `x5t#S256`.
    pub fn thumbprints(&self) -> [&str; 2] {
        [&self.thumbprints[0], &self.thumbprints[1]]
    }
}

/// Replaces a file by another one, as whoever rotates keys does.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

fn rsa() -> (KeyPair, String, Value) {
    let own = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    // PKCS #1: tags and lengths, the 256 bytes of the modulus, and the exponent 65537.
    let jwk = json!({"kty": "RSA", "n": encoded(&own.public_key().as_ref()[9..265]), "e": "AQAB"});
    let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> = own.as_der().unwrap();
    let pair = KeyPair::try_from(pkcs8.as_ref().to_vec()).unwrap();
    // What PKCS #8 wraps: behind the outer header, the version, the algorithm and the header of the octets.
    let pkcs1 = BASE64_STANDARD.encode(&pkcs8.as_ref()[26..]);
    (pair, format!("-----BEGIN RSA PRIVATE KEY-----\n{pkcs1}\n-----END RSA PRIVATE KEY-----\n"), jwk)
}

fn ec(algorithm: &'static rcgen::SignatureAlgorithm, curve: &str) -> (KeyPair, String, Value) {
    let pair = KeyPair::generate_for(algorithm).unwrap();
    let point = pair.der_bytes()[1..].to_vec();
    let (x, y) = point.split_at(point.len() / 2);
    let jwk = json!({"kty": "EC", "crv": curve, "x": encoded(x), "y": encoded(y)});
    let pem = pair.serialize_pem();
    (pair, pem, jwk)
}
