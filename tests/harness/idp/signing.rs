//! How the provider signs: with any algorithm, under any name, published or not; and how its answers are packed.

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding,
    },
};
use axum::{
    Json,
    http::header,
    response::{IntoResponse, Response},
};
use base64::prelude::*;
use evergate::secret::random_text;
use serde_json::{Value, json};

use super::{CLIENT_ID, Idp, State};

/// A key that signs, the name that it goes by, and its public half.
pub struct Signer {
    algorithm: &'static str,
    jwk: Value,
    sign: Sign,
}

fn encoded(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    /// A new key for RS256, PS256, ES256, ES384, ES512 or EdDSA.
    pub fn generate(algorithm: &'static str, id: &str) -> Self {
        let (mut jwk, sign) = match algorithm {
            "RS256" => rsa(&RSA_PKCS1_SHA256),
            "PS256" => rsa(&RSA_PSS_SHA256),
            "ES256" => ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
            "ES384" => ec(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
            "ES512" => ec(&ECDSA_P521_SHA512_FIXED_SIGNING, "P-521"),
            "EdDSA" => ed25519(),
            other => panic!("no keys for {other}"),
        };
        jwk.as_object_mut().unwrap().extend([
            ("alg".into(), json!(algorithm)),
            ("use".into(), json!("sig")),
            ("kid".into(), json!(id)),
        ]);
        Self { algorithm, jwk, sign }
    }

    /// HS256 with a secret, which is not published.
    pub fn with_secret(secret: &str) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let sign = move |signed: &[u8]| hmac::sign(&key, signed).as_ref().to_vec();
        Self { algorithm: "HS256", jwk: json!({}), sign: Box::new(sign) }
    }

    pub fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    pub fn jwk(&self) -> Value {
        self.jwk.clone()
    }

    /// The token with a signature that is well-formed and nobody's.
    pub fn forged(token: &str) -> String {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let first = if signature.starts_with('A') { 'B' } else { 'A' };
        format!("{signed}.{first}{}", signature.get(1..).unwrap())
    }

    pub fn sign_with_header(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(header, &claims.to_string())
    }

    /// Signs a payload as it stands, which need not be what JSON libraries write.
    pub fn sign_text(&self, header: &Value, payload: &str) -> String {
        let signed = format!("{}.{}", encoded(header.to_string().as_bytes()), encoded(payload.as_bytes()));
        format!("{signed}.{}", encoded(&(self.sign)(signed.as_bytes())))
    }
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8> + Send>;

fn ec(algorithm: &'static EcdsaSigningAlgorithm, curve: &str) -> (Value, Sign) {
    let pair = EcdsaKeyPair::generate(algorithm).unwrap();
    let point = pair.public_key().as_ref()[1..].to_vec();
    let (x, y) = point.split_at(point.len() / 2);
    let jwk = json!({"kty": "EC", "crv": curve, "x": encoded(x), "y": encoded(y)});
    (jwk, Box::new(move |signed| pair.sign(&SystemRandom::new(), signed).unwrap().as_ref().to_vec()))
}

fn rsa(encoding: &'static dyn RsaEncoding) -> (Value, Sign) {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    // PKCS #1: tags and lengths, the 256 bytes of the modulus, and the exponent 65537.
    let jwk = json!({"kty": "RSA", "n": encoded(&pair.public_key().as_ref()[9..265]), "e": "AQAB"});
    let sign = move |signed: &[u8]| {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(encoding, &SystemRandom::new(), signed, &mut signature).unwrap();
        signature
    };
    (jwk, Box::new(sign))
}

fn ed25519() -> (Value, Sign) {
    let pair = Ed25519KeyPair::generate().unwrap();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(pair.public_key().as_ref())});
    (jwk, Box::new(move |signed| pair.sign(signed).as_ref().to_vec()))
}

/// How an answer of the token endpoint is written; its bytes, and its `Content-Encoding`.
pub type Pack = fn(&[u8]) -> (Vec<u8>, Option<&'static str>);

/// An answer of the token endpoint as it is sent.
pub(super) fn written(state: &State, answer: &Value) -> Response {
    let Some(pack) = state.pack else { return Json(answer).into_response() };
    let (body, coding) = pack(answer.to_string().as_bytes());
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    if let Some(coding) = coding {
        response.headers_mut().insert(header::CONTENT_ENCODING, coding.parse().unwrap());
    }
    response
}

/// User info as it is sent: signed, where it was told to.
pub(super) fn userinfo(idp: &Idp, state: &State, claims: Value) -> Response {
    if !state.signs_userinfo {
        return Json(claims).into_response();
    }
    let mut all = json!({"iss": idp.issuer, "aud": CLIENT_ID});
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    let key = state.keys.first().unwrap();
    let token = key.sign_with_header(&json!({"alg": key.algorithm(), "kid": key.jwk()["kid"]}), &all);
    ([(header::CONTENT_TYPE, "application/jwt")], token).into_response()
}

impl Idp {
    /// A logout token with these claims besides, or instead of, the usual ones; `null` leaves one out.
    pub fn logout_token(&self, claims: Value, header: Value) -> String {
        let state = self.state();
        let now = self.clock.now().seconds();
        let key = state.keys.first().unwrap();
        let mut all = json!({
            "iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 120, "jti": random_text::<8>(), "sub": state.user["sub"],
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}}, "ignored": true,
        });
        let mut head = json!({"alg": key.algorithm(), "typ": "logout+jwt", "kid": key.jwk()["kid"]});
        for (target, edits) in [(&mut all, claims), (&mut head, header)] {
            for (name, value) in edits.as_object().unwrap() {
                target[name] = value.clone();
            }
            target.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        }
        key.sign_with_header(&head, &all)
    }

    /// A JWT of this type for this audience, with these claims besides, or instead of, the usual ones; `null` leaves one out.
    pub fn signed_event(&self, typ: &str, audience: &str, claims: Value, header: Value) -> String {
        let now = self.clock.now().seconds();
        let mut all = json!({"aud": audience, "exp": now + 300, "nbf": now - 300, "events": null, "sub": CLIENT_ID});
        let mut head = json!({"typ": typ});
        for (target, edits) in [(&mut all, claims), (&mut head, header)] {
            for (name, value) in edits.as_object().unwrap() {
                target[name] = value.clone();
            }
        }
        self.logout_token(all, head)
    }

    /// Signs with a new key from now on; published or not.
    pub fn rotate_keys(&self, publish: bool) {
        let mut state = self.state();
        let key = Signer::generate("ES256", &random_text::<6>());
        if publish {
            state.published = vec![key.jwk()];
        }
        state.keys = vec![key];
    }

    /// All its published keys are those of this issuer, as Microsoft Entra ID writes it.
    pub fn keys_name_issuer(&self, issuer: &str) {
        for key in &mut self.state().published {
            key["issuer"] = json!(issuer);
        }
    }

    /// Signs with this key from now on, and publishes these.
    pub fn sign_with(&self, key: Signer, published: &[Value]) {
        let mut state = self.state();
        state.published = published.to_vec();
        state.keys = vec![key];
    }

    /// Signs with a new key of this algorithm from now on, and publishes it beside those before.
    pub fn change_algorithm(&self, algorithm: &'static str) {
        let key = Signer::generate(algorithm, &format!("key-{algorithm}"));
        let mut state = self.state();
        state.published.push(key.jwk());
        state.keys = vec![key];
    }

    /// The public keys that are there for the asking.
    pub fn published(&self) -> Vec<Value> {
        self.state().published.clone()
    }

    /// Whether user info is signed.
    pub fn sign_userinfo(&self, signs: bool) {
        self.state().signs_userinfo = signs;
    }

    /// How answers of the token endpoint are written.
    pub fn pack(&self, pack: Option<Pack>) {
        self.state().pack = pack;
    }

    /// The payload of ID tokens as text, after all other edits.
    pub fn edit_payload(&self, edit: impl Fn(String) -> String + Send + 'static) {
        self.state().edit_payload = Some(Box::new(edit));
    }
}
