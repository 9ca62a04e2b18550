//! Which route a request takes.
//!
//! API Gateway picks the most specific match: a full match before one with a greedy variable before
//! `$default`, a literal segment before a variable, and a route for the method before `ANY`.

use crate::model::Route;
use axum::http::Method;
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;

/// The routes of one API, most specific first.
pub(super) struct Routes(Vec<Route>);

/// How exact a segment of a route is; less is more exact.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Literal,
    Variable,
    Greedy,
}

impl Routes {
    pub(super) fn new(routes: impl Iterator<Item = Route>) -> Self {
        let mut routes: Vec<Route> = routes.collect();
        routes.sort_by_key(|route| {
            let segments: Vec<Segment> = route.path.split('/').map(kind).collect();
            (route.path == "$default", segments.contains(&Segment::Greedy), segments, is_any(route))
        });
        Self(routes)
    }

    /// The route for a request, and its path's variables.
    pub(super) fn find(
        &self,
        method: &Method,
        path: &str,
    ) -> Option<(&Route, BTreeMap<String, String>)> {
        self.0.iter().find_map(|route| {
            let takes_method = is_any(route) || route.method.as_deref() == Some(method.as_str());
            let variables = takes_method.then(|| variables(&route.path, path)).flatten()?;
            Some((route, variables))
        })
    }
}

/// The route's name: `GET /v1/orders`.
pub(super) fn key(route: &Route) -> String {
    if route.path == "$default" {
        return route.path.clone();
    }
    format!("{} {}", route.method.as_deref().unwrap_or("ANY"), route.path)
}

fn is_any(route: &Route) -> bool {
    matches!(route.method.as_deref(), None | Some("ANY" | "X-AMAZON-APIGATEWAY-ANY-METHOD"))
}

fn kind(segment: &str) -> Segment {
    match variable(segment) {
        None => Segment::Literal,
        Some(name) if name.ends_with('+') => Segment::Greedy,
        Some(_) => Segment::Variable,
    }
}

fn variable(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

fn variables(pattern: &str, path: &str) -> Option<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    if pattern == "$default" {
        return Some(found);
    }
    let mut rest = path.strip_prefix('/')?;
    let mut segments = pattern.strip_prefix('/')?.split('/').peekable();
    while let Some(segment) = segments.next() {
        if let Some(name) = variable(segment).and_then(|name| name.strip_suffix('+')) {
            found.insert(name.to_owned(), decode(rest));
            return (!rest.is_empty()).then_some(found);
        }
        let (here, after) = match (segments.peek(), rest.split_once('/')) {
            (Some(_), Some((here, after))) => (here, after),
            (Some(_), None) => return None,
            (None, _) => (rest, ""),
        };
        match variable(segment) {
            Some(_) if here.is_empty() || here.contains('/') => return None,
            Some(name) => _ = found.insert(name.to_owned(), decode(here)),
            None if decode(here) == segment => {}
            None => return None,
        }
        rest = after;
    }
    Some(found)
}

/// A percent-encoded text decoded; what is not UTF-8 becomes replacement characters.
pub(super) fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn route(method: Option<&str>, path: &str) -> Route {
        Route {
            api: "Api".to_owned(),
            method: method.map(str::to_owned),
            path: path.to_owned(),
            function: String::new(),
            authorizer: None,
            timeout: Duration::from_secs(30),
        }
    }

    fn found(routes: &Routes, method: &Method, path: &str) -> Option<(String, Vec<String>)> {
        let (route, variables) = routes.find(method, path)?;
        Some((key(route), variables.into_values().collect()))
    }

    #[test]
    fn the_most_specific_route_wins() {
        let routes = Routes::new(
            [
                route(None, "$default"),
                route(Some("ANY"), "/{proxy+}"),
                route(Some("ANY"), "/v1/orders"),
                route(Some("GET"), "/v1/orders/{id}"),
                route(Some("GET"), "/v1/{kind}/latest"),
                route(Some("GET"), "/v1/orders/latest"),
                route(Some("GET"), "/v1/orders"),
                route(Some("GET"), "/v1/files/{path+}"),
            ]
            .into_iter(),
        );
        let cases = [
            (Method::GET, "/v1/orders", "GET /v1/orders", vec![]),
            (Method::POST, "/v1/orders", "ANY /v1/orders", vec![]),
            (Method::GET, "/v1/orders/latest", "GET /v1/orders/latest", vec![]),
            (Method::GET, "/v1/things/latest", "GET /v1/{kind}/latest", vec!["things"]),
            (Method::GET, "/v1/orders/abc", "GET /v1/orders/{id}", vec!["abc"]),
            (Method::GET, "/v1/orders/a%2Fb", "GET /v1/orders/{id}", vec!["a/b"]),
            (Method::DELETE, "/v1/orders/abc", "ANY /{proxy+}", vec!["v1/orders/abc"]),
            (Method::GET, "/v1/files/a/b", "GET /v1/files/{path+}", vec!["a/b"]),
            (Method::GET, "/v1/orders/", "ANY /{proxy+}", vec!["v1/orders/"]),
            (Method::GET, "/", "$default", vec![]),
        ];
        for (method, path, expected, variables) in cases {
            let variables: Vec<String> = variables.into_iter().map(str::to_owned).collect();
            let expected = Some((expected.to_owned(), variables));
            assert_eq!(found(&routes, &method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn what_matches_no_route_is_not_found() {
        let routes = Routes::new(
            [route(Some("GET"), "/v1/orders"), route(Some("GET"), "/x/{id}")].into_iter(),
        );
        for (method, path) in [
            (Method::POST, "/v1/orders"),
            (Method::GET, "/v1/orders/"),
            (Method::GET, "/v1"),
            (Method::GET, "/x/"),
            (Method::GET, "/x/a/b"),
            (Method::GET, "/"),
        ] {
            assert_eq!(found(&routes, &method, path), None, "{method} {path}");
        }
    }
}
