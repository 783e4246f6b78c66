//! Routes whose host is a pattern.

use super::{WHOLE, checked, environment, file};

#[test]
fn a_pattern_that_would_let_requests_reach_what_nobody_meant_is_refused() {
    let (_file, path) = file(
        r#"
        [[route]]
        host = "*.com"

        [[route]]
        host = "*.a.example"
        upstream = "http://{label}:8080"

        [[route]]
        host = "{port}--{name}.b.example"
        upstream = "http://127.0.0.1:{port}"

        [[route]]
        host = "{port}.c.example"
        ports = "1000-9000"
        upstream = "http://127.0.0.1:{port}"

        [[route]]
        host = "{name}.d.example"
        ports = "80"
        upstream = "http://{user}.apps.internal"
        upstream_networks = ["everything"]

        [[route]]
        host = "e.example"
        upstream = "http://{label}.apps.internal"

        [[route]]
        host = "*.f.example"
        ports = "9-3"
        upstream = ["http://{label}.apps.internal", "http://{label}.other.internal"]
        assertion = true

        [[route]]
        path = "/g"
        upstream = "http://10.0.0.1"
        upstream_networks = ["10.0.0.0/8"]
        "#,
    );
    let mut given = environment(&WHOLE);
    given.config_path = Some(path);
    given.variables.insert("CODER_WILDCARD_ACCESS_URL".to_owned(), "{label}.z.example".to_owned());
    insta::assert_snapshot!(checked(&given).unwrap_err(), @r#"
    there are 13 problems with the settings:
      route[1].host: must be a host whose first of at least three labels has a star at its beginning or names in braces, as in *.apps.example.com or {port}--{name}.apps.example.com
      route[2].upstream: must end in a fixed domain, as in http://{label}.apps.internal:8080, or requests could reach any host
      route[3].ports: is required, because upstream has {port} for its port: which ports requests may reach
      route[5].ports: is the range of {port}, which the route's host does not have
      route[5].upstream_networks: must be networks like 10.0.0.0/8 or fd00::/8
      route[5].upstream: has a name in braces that the route's host does not have
      route[6].upstream: has a name in braces, which is for a route whose host is a pattern
      route[7].ports: must be a range of ports like 8000-8999
      route[7].assertion: must be false on a route whose host is a pattern: all its apps would accept each other's
      route[7].upstream: must be one address where it has a name in braces
      route[8].upstream_networks: is about names with values of the host, which upstream does not have
      route[4].ports: contains 3000, on which Evergate itself listens (CODER_HTTP_ADDRESS)
      CODER_WILDCARD_ACCESS_URL: must be a host whose first label begins with a star, as in *.apps.example.com
    "#);
}
