use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA384,
    },
};
use base64::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::secret::Secret;

fn encoded(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// A token of this header and payload, signed by `sign`.
fn token(header: &Value, payload: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", encoded(header.to_string().as_bytes()), encoded(payload.as_bytes()));
    format!("{signed}.{}", encoded(&sign(signed.as_bytes())))
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

fn ec(algorithm: &'static EcdsaSigningAlgorithm, curve: &str) -> (Value, Sign) {
    let pair = EcdsaKeyPair::generate(algorithm).unwrap();
    let point = pair.public_key().as_ref()[1..].to_vec();
    let (x, y) = point.split_at(point.len() / 2);
    // As a number, without the zeros that it begins with.
    let x: Vec<u8> = x.iter().copied().skip_while(|byte| *byte == 0).collect();
    let jwk = json!({"kty": "EC", "crv": curve, "x": encoded(&x), "y": encoded(y)});
    (jwk, Box::new(move |signed| pair.sign(&SystemRandom::new(), signed).unwrap().as_ref().to_vec()))
}

fn rsa(encoding: &'static dyn aws_lc_rs::signature::RsaEncoding) -> (Value, Sign) {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    // PKCS #1: tags and lengths, the 256 bytes of the modulus, and the exponent 65537.
    let modulus = pair.public_key().as_ref()[9..265].to_vec();
    let jwk = json!({"kty": "RSA", "n": encoded(&modulus), "e": "AQAB"});
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

fn set(keys: &[&Value]) -> KeySet {
    KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap()
}

fn verified(token: &str, keys: &KeySet) -> Result<Algorithm, JoseError> {
    verified_by(token, keys, UnknownKeyIds::Reject)
}

fn verified_by(token: &str, keys: &KeySet, unknown_key_ids: UnknownKeyIds) -> Result<Algorithm, JoseError> {
    let accepted =
        VerificationOptions { algorithms: &Algorithm::ASYMMETRIC, keys, key_issuer: None, unknown_key_ids, secrets: &[] };
    SignedToken::parse(token)?.verify(accepted).map(|(_, algorithm)| algorithm)
}

fn with(jwk: &Value, members: &Value) -> Value {
    let mut jwk = jwk.clone();
    jwk.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    jwk
}

#[test]
fn every_algorithm_with_a_public_key_is_checked_with_the_key_that_fits() {
    let signers = [
        ("RS256", rsa(&RSA_PKCS1_SHA256)),
        ("PS384", rsa(&RSA_PSS_SHA384)),
        ("ES256", ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256")),
        ("ES384", ec(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384")),
        ("ES512", ec(&ECDSA_P521_SHA512_FIXED_SIGNING, "P-521")),
        ("EdDSA", ed25519()),
    ];
    let all: Vec<&Value> = signers.iter().map(|(_, (jwk, _))| jwk).collect();
    let keys = set(&all);
    for (name, (jwk, sign)) in &signers {
        let token = token(&json!({"alg": name}), "{}", sign);
        assert_eq!(verified(&token, &keys).map(Algorithm::name), Ok(*name));
        let others: Vec<&Value> = all.iter().copied().filter(|other| *other != jwk).collect();
        assert!(verified(&token, &set(&others)).unwrap_err().may_need_newer_keys(), "{name}");
        let forged = token.replacen(&encoded(b"{}"), &encoded(b"{ }"), 1);
        assert!(matches!(verified(&forged, &keys), Err(JoseError::BadSignature { .. })), "{name}");
    }
}

#[test]
fn a_key_s_name_is_a_hint_and_its_purpose_is_not() {
    let (jwk, sign) = ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256");
    let (other, _) = ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256");
    let named = |id: &str| token(&json!({"alg": "ES256", "kid": id}), "{}", &sign);
    let nameless = token(&json!({"alg": "ES256"}), "{}", &sign);
    let (a, b) = (json!({"kid": "a"}), json!({"kid": "b"}));
    let accepted = [
        ("named rightly", named("a"), set(&[&with(&other, &b), &with(&jwk, &a)])),
        ("the key has no name", named("a"), set(&[&other, &jwk])),
        ("the token names none and two fit", nameless.clone(), set(&[&with(&other, &a), &with(&jwk, &b)])),
        ("two keys of one name", named("a"), set(&[&with(&other, &a), &with(&jwk, &a)])),
        ("the old name and the new key", named("a"), set(&[&with(&other, &a), &with(&jwk, &b)])),
        (
            "beside broken ones",
            nameless.clone(),
            set(&[
                &json!(7),
                &json!({"kty": "EC"}),
                &json!({"kty": "XX", "kid": 7}),
                &json!({"kty": "EC", "crv": "P-256", "x": "?", "y": ""}),
                &jwk,
            ]),
        ),
        ("for signatures", nameless.clone(), set(&[&with(&jwk, &json!({"use": "sig", "alg": "ES256", "key_ops": ["verify"]}))])),
    ];
    for (what, token, keys) in accepted {
        assert_eq!(verified(&token, &keys), Ok(Algorithm::Es256), "{what}");
    }
    let strange = set(&[&with(&jwk, &b)]);
    assert!(matches!(verified(&named("a"), &strange), Err(JoseError::NoKey { .. })), "a name that no key of the set has");
    assert_eq!(verified_by(&named("a"), &strange, UnknownKeyIds::Accept), Ok(Algorithm::Es256));
    for members in [json!({"use": "enc"}), json!({"key_ops": ["sign"]}), json!({"alg": "ES384"}), json!({"crv": "P-384"})] {
        assert!(matches!(verified(&nameless, &set(&[&with(&jwk, &members)])), Err(JoseError::NoKey { .. })), "{members}");
    }
    let crowd: Vec<Value> = (0..16).map(|_| ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256").0).collect();
    let crowded = set(&crowd.iter().chain([&jwk]).collect::<Vec<_>>());
    assert_eq!(
        verified(&nameless, &crowded),
        Err(JoseError::BadSignature { tried: 16, is_named: false }),
        "no more than so many are tried"
    );
    assert!(KeySet::parse(b"[]").is_err() && KeySet::parse(b"{}").is_err() && KeySet::parse(br#"{"keys": {}}"#).is_err());
}

#[test]
fn a_key_tells_its_certificate_and_is_good_without_one() {
    let (jwk, _) = ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256");
    let told = |members: Value| {
        let keys = set(&[&with(&jwk, &members)]);
        let key = keys.described().next().unwrap();
        (key.id.map(str::to_owned), key.algorithm.map(str::to_owned), key.certificate.map(<[u8]>::to_vec))
    };
    let names = || (Some("a".to_owned()), Some("ES256".to_owned()));
    for (x5c, certificate) in [
        (json!(["/+8=", "AQ=="]), Some(vec![0xff, 0xef])),
        (json!([]), None),
        (json!("AQ=="), None),
        (json!([7]), None),
        (json!(["no base64"]), None),
        (json!(["A".repeat(20_000)]), None),
    ] {
        assert_eq!(told(json!({"kid": "a", "alg": "ES256", "x5c": x5c})), (names().0, names().1, certificate), "{x5c}");
    }
    assert_eq!(told(json!({})), (None, None, None));
}

#[test]
fn keys_behind_many_others_are_read_and_those_that_are_for_nothing_take_no_place() {
    let (own, _) = ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256");
    let of = |others: &Value, count: usize| {
        let keys: Vec<&Value> = std::iter::repeat_n(others, count).chain([&own]).collect();
        let set = set(&keys);
        (set.len(), set.is_cut())
    };
    let encrypting = with(&own, &json!({"use": "enc"}));
    assert_eq!((of(&own, 1000), of(&encrypting, 2000)), ((1001, false), (1, false)));
    assert_eq!(of(&own, 1024), (1024, true), "and where they end, it is known");
}

#[test]
fn a_short_rsa_key_is_refused_for_being_short() {
    let modulus = [vec![0xff; 127], vec![1]].concat();
    let short = json!({"kty": "RSA", "kid": "a", "n": encoded(&modulus), "e": "AQAB"});
    let token = |id: &str| token(&json!({"alg": "RS256", "kid": id}), "{}", |_| vec![1; 128]);
    assert_eq!(verified(&token("a"), &set(&[&short])), Err(JoseError::WeakKey(1024)));
    // Zeros before it make it no longer.
    let padded = with(&short, &json!({"n": encoded(&[vec![0; 200], modulus].concat())}));
    assert_eq!(verified(&token("a"), &set(&[&padded])), Err(JoseError::WeakKey(1024)));
}

#[test]
fn a_shared_secret_serves_where_it_is_accepted_and_long_enough_and_a_public_key_never_as_one() {
    let (jwk, _) = rsa(&RSA_PKCS1_SHA256);
    let long = "0123456789abcdef0123456789abcdef";
    let sign = |secret: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        token(&json!({"alg": "HS256"}), "{}", move |signed| hmac::sign(&key, signed).as_ref().to_vec())
    };
    let (long_secret, short_secret) = (Secret::new(long), Secret::new("short"));
    let symmetric = json!({"kty": "oct", "k": encoded(long.as_bytes())});
    let keys = set(&[&symmetric, &jwk]);
    let verified = |token: &str, algorithms: &[Algorithm], secrets: &[&Secret]| {
        SignedToken::parse(token)
            .unwrap()
            .verify(VerificationOptions {
                algorithms,
                keys: &keys,
                key_issuer: None,
                unknown_key_ids: UnknownKeyIds::Accept,
                secrets,
            })
            .map(drop)
    };
    assert_eq!(verified(&sign(long), &[Algorithm::Hs256], &[&short_secret, &long_secret]), Ok(()));
    assert_eq!(verified(&sign("short"), &[Algorithm::Hs256], &[&short_secret]), Err(JoseError::Secret(0)));
    assert_eq!(verified(&sign(long), &[Algorithm::Hs256], &[]), Err(JoseError::Secret(0)), "a key of the set is no secret");
    let modulus = jwk["n"].as_str().unwrap();
    assert_eq!(verified(&sign(modulus), &[Algorithm::Hs256], &[&long_secret]), Err(JoseError::Secret(1)));
    let unlisted = verified(&sign(long), &Algorithm::ASYMMETRIC, &[&long_secret]);
    assert_eq!(unlisted, Err(JoseError::Algorithm("HS256".to_owned())));
}

#[test]
fn what_is_no_signed_token_is_said_to_be_none() {
    let (jwk, sign) = ed25519();
    let keys = set(&[&jwk]);
    let cases = [
        ("", JoseError::Malformed),
        ("a.b", JoseError::Malformed),
        ("a.b.c.d.e", JoseError::Encrypted),
        ("?.?.?", JoseError::Malformed),
        (&*token(&json!({"alg": "EdDSA", "crit": []}), "{}", &sign), JoseError::Extension),
        (&*token(&json!({"alg": "EdDSA"}), "[]", &sign), JoseError::Payload),
        (&*token(&json!({"alg": "none"}), "{}", |_| vec![]), JoseError::Algorithm("none".to_owned())),
        (&*token(&json!({}), "{}", &sign), JoseError::Algorithm("(none)".to_owned())),
        (&*token(&json!({"alg": ["EdDSA"]}), "{}", &sign), JoseError::Algorithm("(none)".to_owned())),
    ];
    for (token, expected) in cases {
        assert_eq!(verified(token, &keys), Err(expected), "{token}");
    }
    let signed = format!("{}.{}", encoded(br#"{"alg":"EdDSA","alg":"none"}"#), encoded(b"{}"));
    let twice = format!("{signed}.{}", encoded(&sign(signed.as_bytes())));
    assert!(matches!(verified(&twice, &keys), Err(JoseError::Algorithm(_))), "two readers could take different ones");
    let repeated = token(&json!({"alg": "EdDSA"}), r#"{"sub":"a","x":1,"sub":"b"}"#, &sign);
    let read = SignedToken::parse(&repeated).unwrap();
    assert_eq!(read.unverified().repeated, ["sub"]);
}

#[test]
fn a_key_is_read_though_another_or_a_member_that_nobody_needs_cannot_be() {
    for (text, count) in [
        (r#"{"x":"\ud83d","keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA","x5t":"\ud83d"}]}"#, 1),
        (r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA"},{"kty":"OKP","crv":"Ed25519","x":"\ud83d"}]}"#, 1),
        (r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA","use":"\ud83d"}]}"#, 0),
        (r#"{"keys":[1e400,"x"]}"#, 0),
    ] {
        assert_eq!(KeySet::parse(text.as_bytes()).unwrap().len(), count, "{text}");
    }
    assert!(KeySet::parse(br#"{"keys":{}}"#).is_err());
}
