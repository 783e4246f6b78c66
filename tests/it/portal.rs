//! The portal: who sees which apps.

use http::{Method, StatusCode};
use serde_json::json;

use crate::harness::{
    World,
    idp::user,
    visitor::{Reply, Visitor},
};

const PAGE: &str = "/oauth2/";

async fn page(visitor: &Visitor) -> Reply {
    visitor.send(Method::GET, PAGE, &[("accept", "text/html")], "").await
}

#[tokio::test]
async fn a_user_sees_the_apps_that_they_may_open_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let icon = folder.path().join("wiki.svg");
    std::fs::write(&icon, "<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>").unwrap();
    let icon = format!("portal_name = \"The <Wiki>\"\nportal_text = \"What we know\"\nportal_icon = \"{}\"", icon.display());
    let world = World::build()
        .set("portal_enable", "true")
        .routes(move |_| {
            format!(
                "[[route]]\npath = \"/wiki\"\n{icon}\n\
                 [[route]]\npath = \"/admin\"\ngroups = [\"admins\"]\nportal_name = \"Vault\"\n\
                 [[route]]\npath = \"/elsewhere\"\nnetworks = [\"203.0.113.0/24\"]\nportal_name = \"Reactor\"\n\
                 [[route]]\npath = \"/assets\"\nrule = \"public\"\nportal_name = \"assets\"\n\
                 [[route]]\nhost = \"other.test\"\npath = \"/board\"\nportal_name = \"Board\"\n\
                 [[route]]\npath = \"/hidden\"\n"
            )
        })
        .start()
        .await;
    let stranger = page(&world.visitor()).await;
    assert_eq!(stranger.status, StatusCode::SEE_OTHER, "a login leads to it");
    let visitor = world.visitor();
    visitor.log_in(&world.idp, PAGE).await;
    let shown = page(&visitor).await;
    assert_eq!((shown.status, shown.header("evergate-response")), (StatusCode::OK, "portal"));
    let text = shown.text();
    for part in [
        "The &lt;Wiki&gt;",
        "What we know",
        "https://app.test/wiki\">",
        "https://other.test/board\">",
        "<strong>assets</strong>",
        "<span aria-hidden=\"true\">A</span>",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    for part in ["Vault", "Reactor", "/hidden", "<script"] {
        assert!(!text.contains(part), "{part} in {text}");
    }
    assert!(text.find("assets").unwrap() < text.find("The &lt;").unwrap(), "in the order of their names");
    assert!(shown.header("content-security-policy").contains("img-src 'self'"));
    let mut ada = user("ada");
    ada["groups"] = json!(["admins"]);
    let admin = Visitor::of(world.address(), ada);
    admin.log_in(&world.idp, "/").await;
    assert!(page(&admin).await.text().contains("Vault"));

    let (_, rest) = text.split_once("src=\"/oauth2/icon").unwrap();
    let image = world.visitor().fetch(&format!("/oauth2/icon{}", rest.split('"').next().unwrap())).await;
    assert_eq!((image.status, image.header("content-type")), (StatusCode::OK, "image/svg+xml"));
    assert!(image.header("content-security-policy").contains("sandbox"), "its scripts are not this site's");
    for unknown in ["/oauth2/icon", "/oauth2/icon?of=", "/oauth2/icon?of=0123456789abcdef"] {
        assert_eq!(world.visitor().fetch(unknown).await.status, StatusCode::NOT_FOUND, "{unknown}");
    }
}

#[tokio::test]
async fn there_is_no_portal_unless_it_is_wanted_and_an_empty_one_says_so() {
    let world = World::build().routes(|_| "[[route]]\npath = \"/wiki\"\nportal_name = \"Wiki\"\n".to_owned()).start().await;
    let visitor = world.visitor();
    visitor.log_in(&world.idp, "/").await;
    assert_eq!(page(&visitor).await.status, StatusCode::NOT_FOUND);
    let world = World::build().set("portal_enable", "true").start().await;
    let visitor = world.visitor();
    visitor.log_in(&world.idp, "/").await;
    assert!(page(&visitor).await.text().contains("no app here"));
    let framed = visitor.send(Method::GET, PAGE, &[("accept", "text/html"), ("sec-fetch-dest", "iframe")], "").await;
    assert!(!framed.text().contains("no app here"), "no other page frames it");
}
