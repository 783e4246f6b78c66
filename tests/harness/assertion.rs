//! Signed assertions as an app reads them, by its own means.

use evergate::jose::{Algorithm, KeySet, SignedToken, UnknownKeyIds, VerificationOptions};
use serde_json::{Map, Value};

/// The header that an assertion comes in.
pub const ASSERTION: &str = "x-evergate-assertion";

/// What it says, if a key of the set signed it.
pub fn verified(token: &str, key_set: &Value) -> Option<Map<String, Value>> {
    let keys = KeySet::parse(key_set.to_string().as_bytes()).unwrap();
    let options = VerificationOptions {
        algorithms: &[Algorithm::Es256],
        keys: &keys,
        key_issuer: None,
        unknown_key_ids: UnknownKeyIds::Reject,
        secrets: &[],
    };
    SignedToken::parse(token).ok()?.verify(options).ok().map(|(claims, _)| claims.members)
}
