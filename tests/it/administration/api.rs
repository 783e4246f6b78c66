//! The JSON API.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{PAGE, Program, administered, administrator, audit, both, browser, is_about};
use crate::harness::{
    ACCESS, Kind,
    eventually::eventually,
    idp::{Endpoint, Misbehaviour, user},
};

#[tokio::test]
async fn a_program_lists_finds_renews_and_ends_by_the_same_answers_as_the_pages() {
    for kind in both() {
        let world = administered().on(kind).start().await;
        for name in ["bob", "eve", "bobby"] {
            browser(&world, user(name)).await;
            world.clock.advance(Duration::from_secs(1));
        }
        let program = Program::of(&administrator(&world).await).await;
        let names = |list: &Value| -> Vec<String> {
            let sessions = list["sessions"].as_array().unwrap().iter();
            sessions.map(|session| session["preferredUsername"].as_str().unwrap().to_owned()).collect()
        };
        let first = program.get("/sessions?limit=3").await;
        assert_eq!(first["sessions"].as_array().unwrap().len(), 3);
        let next = first["next"].as_str().unwrap();
        let second = program.get(&format!("/sessions?after={next}")).await;
        assert_eq!((names(&second), &second["next"]), (vec!["eve".to_owned(), "bob".to_owned()], &Value::Null));
        assert_eq!(names(&program.get("/sessions?name=bob").await), ["bob"], "an exact name is one user's");
        assert_eq!(names(&program.get("/sessions?name=bo").await), ["bob", "bobby"]);
        assert_eq!(names(&program.get("/sessions?show=tokens").await), ["ann"]);
        assert!(names(&program.get("/sessions?group=nobody").await).is_empty());

        let bob = program.get("/sessions?name=bob").await["sessions"][0].clone();
        let (id, grant) = (bob["id"].as_str().unwrap(), bob["grant"].as_str().unwrap());
        assert_eq!(program.get(&format!("/sessions/{id}")).await, bob);
        let story = program.get(&format!("/grants/{grant}")).await;
        assert_eq!(
            (&story["details"]["nextRenewal"]["when"], &story["details"]["user"]),
            (&json!("first_use_from"), &json!("sub-bob"))
        );
        assert!(is_about(&story["details"]["createdAt"], world.clock.now()), "{story}");
        assert_eq!(story["sessions"][0]["predictedEnd"]["used"]["by"], "absolute_limit");
        let calls = world.idp.calls(Endpoint::Refresh);
        let renewed = program.ask(Method::POST, &format!("/grants/{grant}/renew"), "").await.json();
        assert_eq!(renewed, json!({"grant": grant, "outcome": "renewed", "retryAfter": null}));
        assert_eq!(world.idp.calls(Endpoint::Refresh), calls + 1);

        assert_eq!(program.ask(Method::DELETE, &format!("/sessions/{id}"), "").await.status, StatusCode::NO_CONTENT);
        assert_eq!(program.ask(Method::DELETE, &format!("/sessions/{id}"), "").await.status, StatusCode::NOT_FOUND);
        let eve = program.get("/sessions?name=eve").await["sessions"][0]["grant"].as_str().unwrap().to_owned();
        assert_eq!(program.ask(Method::POST, &format!("/grants/{eve}/end_user"), "").await.json(), json!({"ended": 1}));
        eventually("why is told", async || {
            let history = program.get("/history?name=bob@example.com").await;
            history["events"].as_array().unwrap().iter().any(|event| event["why"]["code"] == "administrator")
        })
        .await;
        let seen = program.get("/audit").await;
        let events = seen["events"].as_array().unwrap();
        assert!(events.iter().all(|event| event["detail"] == "ann@example.com"), "{seen}");
        assert!(program.get("/audit?before=1").await["events"].as_array().unwrap().is_empty());
    }
}

#[tokio::test]
async fn groups_are_asked_for_by_the_names_that_are_shown() {
    let mapping = r#"{"root":"wheel"}"#;
    let world = administered().set("oidc_group_mapping", mapping).set("admin_groups", "wheel").start().await;
    let program = Program::of(&administrator(&world).await).await;
    let found = async |group: &str| program.get(&format!("/sessions?group={group}")).await["sessions"].as_array().unwrap().len();
    assert!(found("wheel").await > 0);
    assert_eq!(found("root").await, 0, "which is the provider's name");
}

#[tokio::test]
async fn the_audit_is_read_whole_in_parts_also_of_what_was_done_in_the_same_moment() {
    for kind in both() {
        let world = administered().on(kind).start().await;
        let ann = administrator(&world).await;
        let program = Program::of(&ann).await;
        let grant = program.get("/sessions?name=ann").await["sessions"][0]["grant"].as_str().unwrap().to_owned();
        // The clock stands.
        for _ in 0..120 {
            assert_eq!(program.ask(Method::POST, &format!("/grants/{grant}/renew"), "").await.status, StatusCode::OK);
        }
        let (mut parts, mut path) = (Vec::new(), "/audit".to_owned());
        loop {
            let part = program.get(&path).await;
            parts.push(part["events"].as_array().unwrap().len());
            let Some(next) = part["next"].as_str() else { break };
            path = format!("/audit?after={next}");
        }
        assert_eq!(parts, [100, 20]);
        let (mut seen, mut path) = (0, format!("{PAGE}/audit"));
        loop {
            let text = ann.get(&path).await.text();
            seen += text.matches("User: ann@example.com").count();
            let Some(next) = text.split("/oauth2/admin/audit?after=").nth(1) else { break };
            path = format!("{PAGE}/audit?after={}", next.split('"').next().unwrap());
        }
        assert_eq!(seen, 120);
    }
}

#[tokio::test]
async fn what_an_administrator_begins_is_finished_and_audited_though_they_hang_up() {
    for kind in both() {
        let world = administered().on(kind).start().await;
        browser(&world, user("eve")).await;
        let program = Program::of(&administrator(&world).await).await;
        let grant = program.get("/sessions?name=eve").await["sessions"][0]["grant"].as_str().unwrap().to_owned();
        world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Held);
        let path = format!("/grants/{grant}/renew");
        tokio::select! {
            reply = program.ask(Method::POST, &path, "") => panic!("it was answered before they hung up: {reply:?}"),
            () = eventually("it is under way", async || world.idp.calls(Endpoint::Refresh) == 1) => {}
        }
        world.idp.behave(Endpoint::Refresh);
        eventually("it is audited", async || {
            audit(&world).await.iter().any(|event| event[0] == "renew" && event[1] == "renewed")
        })
        .await;
    }
}

#[tokio::test]
async fn one_session_that_cannot_be_ended_keeps_nobody_else_signed_in() {
    let world = administered().on(Kind::Postgres).start().await;
    let people = [browser(&world, user("bob")).await, browser(&world, user("eve")).await, browser(&world, user("joe")).await];
    let program = Program::of(&administrator(&world).await).await;
    world
        .sql(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF (SELECT subject FROM grants WHERE id = OLD.grant_id) = 'sub-eve' THEN RAISE 'no'; END IF; RETURN OLD; END $$",
        )
        .await;
    world.sql("CREATE TRIGGER fail BEFORE DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION fail()").await;
    assert_eq!(program.ask(Method::POST, "/everyone/end", "{\"confirm\": \"everyone\"}").await.status, StatusCode::ACCEPTED);
    for (person, is_ended) in people.iter().zip([true, false, true]) {
        let ended = async || person.fetch("/").await.status == StatusCode::UNAUTHORIZED;
        if is_ended { eventually("it has ended", ended).await } else { assert!(!ended().await) }
    }
    eventually("it is audited", async || {
        audit(&world).await.iter().any(|event| event[0] == "end_everyone" && event[1] == "failed")
    })
    .await;
}

#[tokio::test]
async fn a_search_that_finds_more_than_is_asked_for_goes_on_in_parts() {
    let world = administered().start().await;
    for _ in 0..3 {
        browser(&world, user("eve")).await;
    }
    let program = Program::of(&administrator(&world).await).await;
    let first = program.get("/sessions?name=eve&limit=2").await;
    let next = first["next"].as_str().unwrap();
    let second = program.get(&format!("/sessions?name=eve&limit=2&after={next}")).await;
    assert_eq!((first["sessions"].as_array().unwrap().len(), second["sessions"].as_array().unwrap().len()), (2, 1));
    assert!(second["next"].is_null());
}

/// Users may choose their names; no longer one is read.
#[tokio::test]
async fn a_search_goes_on_behind_the_longest_names() {
    for kind in both() {
        let world = administered().on(kind).start().await;
        for name in ["1", "2", "3"] {
            let mut person = user(name);
            person["preferred_username"] = json!(format!("{}{name}", "\\".repeat(1023)));
            person.as_object_mut().unwrap().remove("email");
            browser(&world, person).await;
        }
        let program = Program::of(&administrator(&world).await).await;
        let (mut after, mut found) = (String::new(), Vec::new());
        for _ in 0..3 {
            let part = program.get(&format!("/sessions?name=%5C%5C&limit=1{after}")).await;
            found.extend(part["sessions"].as_array().unwrap().iter().map(|session| session["user"].clone()));
            let next = part["next"].as_str().unwrap_or_default();
            after = format!("&after={next}");
        }
        assert_eq!(found, ["sub-1", "sub-2", "sub-3"]);
        assert_eq!(after, "&after=", "that was all");
    }
}

#[tokio::test]
async fn a_user_who_is_ended_has_no_bearer_token_of_the_provider_left_on_any_replica() {
    let routes = |_: &str| "[[route]]\npath = \"/api\"\nbearer_tokens = [\"provider\"]\n".to_owned();
    for (kind, by_command) in both().into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        let world = administered().on(kind).routes(routes).replicas(2).start().await;
        browser(&world, user("eve")).await;
        let of = |name: &str| {
            world.idp.signed_access_token(&format!("{ACCESS}/api"), json!({"sub": format!("sub-{name}")}), json!({}))
        };
        let (eves, bobs) = (format!("Bearer {}", of("eve")), format!("Bearer {}", of("bob")));
        let status = async |token: &str, replica: usize| {
            let program = world.visitor().at(world.replicas[replica].address);
            program.send(Method::GET, "/api", &[("authorization", token)], "").await.status
        };
        assert_eq!((status(&eves, 0).await, status(&eves, 1).await), (StatusCode::OK, StatusCode::OK));
        let program = Program::of(&administrator(&world).await).await;
        let session = program.get("/sessions?name=eve").await["sessions"][0].clone();
        if by_command {
            let (code, said) = world.command(&["sessions", "revoke", "sub-eve"]).await;
            assert_eq!(code, 0, "{said}");
        } else {
            let path = format!("/grants/{}/end_user", session["grant"].as_str().unwrap());
            assert_eq!(program.ask(Method::POST, &path, "").await.status, StatusCode::OK);
        }
        for replica in 0..2 {
            eventually("it is refused", async || status(&eves, replica).await == StatusCode::UNAUTHORIZED).await;
            assert_eq!(status(&bobs, replica).await, StatusCode::OK, "nobody else's is");
        }
    }
}

#[tokio::test]
async fn everyone_is_ended_by_a_program_that_says_the_word_and_its_own_token_with_them() {
    let world = administered().start().await;
    let program = Program::of(&administrator(&world).await).await;
    for body in ["", "{}", "{\"confirm\":\"all\"}"] {
        assert_eq!(program.ask(Method::POST, "/everyone/end", body).await.status, StatusCode::BAD_REQUEST, "{body}");
    }
    let begun = program.ask(Method::POST, "/everyone/end", "{\"confirm\":\"everyone\"}").await;
    assert_eq!((begun.status, begun.json()), (StatusCode::ACCEPTED, json!({"begun": true})));
    eventually("the token has ended", async || {
        program.ask(Method::GET, "/sessions", "").await.status == StatusCode::UNAUTHORIZED
    })
    .await;
    eventually("it is audited", async || audit(&world).await.iter().any(|event| event[0] == "end_everyone" && event[1] == "ok"))
        .await;
}

#[tokio::test]
async fn mistakes_are_problems_that_say_what_is_wrong() {
    let world = administered().start().await;
    let program = Program::of(&administrator(&world).await).await;
    for (method, path, status) in [
        (Method::GET, "/sessions?limit=0", StatusCode::BAD_REQUEST),
        (Method::GET, "/sessions?x=y", StatusCode::BAD_REQUEST),
        (Method::GET, "/sessions?after=1-xyz", StatusCode::BAD_REQUEST),
        (Method::GET, "/history", StatusCode::BAD_REQUEST),
        (Method::GET, "/grants/00", StatusCode::NOT_FOUND),
        (Method::GET, "/grants/00112233445566778899aabbccddeeff", StatusCode::NOT_FOUND),
        (Method::POST, "/grants/00112233445566778899aabbccddeeff/renew", StatusCode::NOT_FOUND),
        (Method::GET, "/nowhere", StatusCode::NOT_FOUND),
        (Method::PUT, "/sessions", StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let reply = program.ask(method.clone(), path, "").await;
        assert_eq!((reply.status, reply.header("content-type")), (status, "application/problem+json"), "{method} {path}");
        let problem = reply.json();
        assert_eq!(problem["status"], status.as_u16(), "{method} {path}");
        assert!(!problem["detail"].as_str().unwrap().is_empty() && problem["request_id"].as_str().unwrap().len() == 16);
        assert_eq!(reply.header("allow"), if status == StatusCode::METHOD_NOT_ALLOWED { "GET, HEAD" } else { "" });
    }
    let document = program.get("/openapi.json").await;
    assert_eq!((&document["openapi"], &document["servers"][0]["url"]), (&json!("3.1.0"), &json!("/oauth2/admin/api/v1")));
}

#[tokio::test]
async fn a_filter_beside_a_search_passes_whoever_it_is_for_among_however_many_the_search_finds() {
    for kind in both() {
        let routes =
            |_: &str| "[[route]]\npath = \"/\"\n\n[[route]]\npath = \"/api\"\nbearer_tokens = [\"personal\"]\n".to_owned();
        let world = administered().routes(routes).on(kind).start().await;
        let mut people = Vec::new();
        for number in 0..115 {
            let mut person = user(&format!("User{number:03}"));
            if number % 2 == 1 {
                // Found by the user name alone.
                person["email"] = json!(format!("somebody{number}@example.com"));
            }
            people.push(browser(&world, person).await);
            world.clock.advance(Duration::from_secs(1));
        }
        for number in [0, 57, 113, 114] {
            assert_eq!(super::token(&people[number], "").await.status, StatusCode::OK);
        }
        let ann = administrator(&world).await;
        let program = Program::of(&ann).await;
        let found = async |query: &str| {
            let (mut all, mut path) = (Vec::new(), format!("/sessions?{query}"));
            loop {
                let part = program.get(&path).await;
                let names = part["sessions"].as_array().unwrap().iter();
                all.extend(names.map(|session| session["preferredUsername"].as_str().unwrap().to_owned()));
                let Some(next) = part["next"].as_str() else { return all };
                path = format!("/sessions?{query}&after={next}");
            }
        };
        let tokens = ["User000", "User114", "User057", "User113"];
        for query in ["name=user&show=tokens", "name=USER&show=tokens&limit=1", "name=User&show=tokens&limit=3"] {
            assert_eq!(found(query).await, tokens, "{query}: by the address first, then by the user name");
        }
        let mut all = found("name=user&limit=7").await;
        assert_eq!(all.len(), 115 + 4, "each once");
        all.dedup();
        assert_eq!(all.len(), 115, "and those of one user together");
        let text = ann.get(&format!("{PAGE}?name=user&show=tokens")).await.text();
        assert_eq!(text.matches("/oauth2/admin/grants/").count(), 4, "{text}");
        let (mut seen, mut path) = (0, format!("{PAGE}?name=user"));
        loop {
            let text = ann.get(&path).await.text();
            seen += text.matches("/oauth2/admin/grants/").count();
            let Some(next) = text.split("href=\"/oauth2/admin?name=").nth(1) else { break };
            path = format!("{PAGE}?name={}", next.split('"').next().unwrap().replace("&amp;", "&"));
        }
        assert_eq!(seen, 119, "page by page");
        for odd in ["e-6-00", "e-61-x", "e-61"] {
            let path = format!("/sessions?name=user&after={odd}");
            assert_eq!(program.ask(Method::GET, &path, "").await.status, StatusCode::BAD_REQUEST, "{odd}");
        }
    }
}
