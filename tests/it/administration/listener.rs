//! The administration on a listener of its own, and where several providers have a group of the same name.

use http::{Method, StatusCode};

use super::{API, PAGE, administered, administrator, token, told};
use crate::harness::visitor::Visitor;

#[tokio::test]
async fn with_a_listener_of_its_own_it_is_reached_there_alone_and_no_app_is() {
    let world = administered().set("admin_address", "127.0.0.1:0").start().await;
    let own = world.replicas[0].admin_address.unwrap();
    let ann = administrator(&world).await;
    let there = ann.at(own);
    assert_eq!(ann.get(PAGE).await.status, StatusCode::NOT_FOUND);
    assert_eq!(there.get(PAGE).await.status, StatusCode::OK);
    assert_eq!(there.get("/").await.status, StatusCode::NOT_FOUND, "an app is not");
    assert!(!there.get("/").await.is_upstreams());
    assert_eq!(there.get("/oauth2/sessions").await.status, StatusCode::OK, "our other pages are");
    let made = told(&token(&ann, "&route=administration").await);
    let line = [("authorization", &*format!("Bearer {made}"))];
    let ask = async |visitor: &Visitor| visitor.send(Method::GET, &format!("{API}/sessions"), &line, "").await.status;
    assert_eq!([ask(&ann.without_cookies()).await, ask(&there.without_cookies()).await], [StatusCode::NOT_FOUND, StatusCode::OK]);
    for odd in ["/oauth2/admin/", "/oauth2//admin", "/oauth2/./admin", "/oauth2/%61dmin", "/oauth2/admin;x", "/oauth2/ADMIN"] {
        let reply = ann.get(odd).await;
        assert!(reply.status.is_client_error(), "{odd} {}", reply.status);
    }
    let login = Visitor::of(own, super::member("ann", "root"));
    login.log_in(&world.idp, PAGE).await;
    assert_eq!(login.get(PAGE).await.status, StatusCode::OK, "one can log in there");
}
