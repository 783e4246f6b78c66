//! Properties of the return address, by the URL parser that browsers have (WHATWG).

use proptest::prelude::*;

use super::*;

/// Addresses out of the pieces that open redirects are made of.
fn addresses() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "/",
        "/",
        "//",
        "\\",
        "https:",
        "http:",
        "https://",
        "app.example",
        "app.example",
        "evil.example",
        "@",
        ":",
        ":443",
        ":8443",
        ".",
        "..",
        "/./",
        "?",
        "#",
        "%2f",
        "%5c",
        "%09",
        "\t",
        "\n",
        "\r",
        " ",
        "\u{0}",
        "\u{a0}",
        "\u{3002}",
        "\u{ff0f}",
        "javascript:",
        "data:",
        "a",
        "x=1",
        "&",
        ";",
    ]);
    prop::collection::vec(prop_oneof![8 => pieces.prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)], 0..10)
        .prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_address_leads_to_another_origin(text in addresses(), access in prop::sample::select(vec!["https://app.example", "http://app.example:8443"])) {
        let access = AccessUrl::parse(access).unwrap();
        let checked = ReturnTo::parse(&text, &access);
        let ours = access.as_url().origin();
        // As it is sent, and as a careless reader would resolve it.
        let sent = Url::parse(&access.at(checked.path())).unwrap();
        prop_assert_eq!(&sent.origin(), &ours, "{:?}", checked);
        prop_assert!(sent.username().is_empty() && sent.password().is_none());
        prop_assert_eq!(access.as_url().join(checked.path()).unwrap().origin(), ours, "{:?}", checked);
        let bytes = checked.path().bytes();
        prop_assert!(checked.path().starts_with('/') && bytes.into_iter().all(|byte| byte.is_ascii_graphic()), "{:?}", checked);
    }

    #[test]
    fn what_was_checked_is_its_own_check(text in addresses()) {
        let access = AccessUrl::parse("https://app.example").unwrap();
        let checked = ReturnTo::parse(&text, &access);
        prop_assert_eq!(&ReturnTo::parse(checked.path(), &access), &checked);
        prop_assert_eq!(ReturnTo::of_page(&access.at(checked.path()), &access), Some(checked));
    }
}
