//! Who is who: the pair of issuer and subject, for apps and administrators.

use base64::prelude::*;
use serde_json::{Value, json};

use super::Both;

const ROUTES: &str = "[[route]]\npath = \"/\"\nassertion = true\nidentity_headers = { X-User = \"{claim:iss}|{user}\" }\n\n";

#[tokio::test]
async fn apps_and_administrators_tell_the_same_subject_of_two_providers_apart() {
    let both = Both::with("", ROUTES).await;
    let issuers = [both.world.idp.issuer().to_owned(), both.partners.issuer().to_owned()];
    let visitors = [both.of_default().await, both.of_partners().await];
    for (visitor, issuer) in visitors.iter().zip(&issuers) {
        assert!(visitor.get("/").await.is_upstreams());
        let seen = both.world.upstream.last();
        assert_eq!(seen.header("x-user"), Some(format!("{issuer}|sub-ann").as_str()), "by a header of one's own");
        let assertion = seen.header("x-evergate-assertion").unwrap();
        let claims = BASE64_URL_SAFE_NO_PAD.decode(assertion.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!((&claims["idp"], &claims["sub"]), (&json!(issuer), &json!("sub-ann")));
        let told = visitor.fetch("/oauth2/userinfo").await.json();
        assert_eq!((&told["issuer"], &told["user"]), (&json!(issuer), &json!("sub-ann")));
    }
    let listed = async |arguments: &[&str]| -> Vec<String> {
        let (_, printed) = both.world.command(&[&["sessions", "list", "--json"], arguments].concat()).await;
        let list: Value = serde_json::from_str(&printed).unwrap();
        let sessions = list["sessions"].as_array().or(list.as_array()).unwrap();
        sessions.iter().map(|session| session["issuer"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed(&["sub-ann"]).await.len(), 2);
    assert_eq!(listed(&["sub-ann", "--issuer", &issuers[1]]).await, [issuers[1].clone()]);
    let (_, shown) = both.world.command(&["sessions", "show", "sub-ann", "--issuer", &issuers[0]]).await;
    assert!(
        shown.contains(&format!("provider        {}", issuers[0])) && !shown.contains(&format!("provider        {}", issuers[1]))
    );
    let (_, revoked) = both.world.command(&["sessions", "revoke", "sub-ann", "--issuer", &issuers[1]]).await;
    assert!(revoked.contains("ended session"), "{revoked}");
    assert_eq!(listed(&[]).await, [issuers[0].clone()], "the other's session is left");
}
