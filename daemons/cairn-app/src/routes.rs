//! The paths that exist, and what may be asked of them.

/// A route; every request belongs to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/`: a greeting and the list of endpoints.
    Root,
    /// `/health`: the sample's own health check.
    Health,
    /// `/get`: tells the query's arguments.
    Get,
    /// `/post`: tells what was posted.
    Post,
    /// `/api/data`: some data.
    ApiData,
    /// `/error`: fails, always.
    Error,
    /// `/slow?ms=`: takes its time.
    Slow,
    /// `/metrics`: the exposition.
    Metrics,
    /// `/-/healthy`: the process answers.
    Healthy,
    /// `/-/ready`: it can do its work.
    Ready,
    /// `/-/reload`: read the configuration again.
    Reload,
    /// Any other path.
    Unmatched,
}

/// Every route, at its index.
pub const ROUTES: [Route; 12] = [
    Route::Root,
    Route::Health,
    Route::Get,
    Route::Post,
    Route::ApiData,
    Route::Error,
    Route::Slow,
    Route::Metrics,
    Route::Healthy,
    Route::Ready,
    Route::Reload,
    Route::Unmatched,
];

impl Route {
    /// The route of a path.
    pub fn of(path: &str) -> Route {
        ROUTES
            .into_iter()
            .find(|route| *route != Route::Unmatched && route.template() == path)
            .unwrap_or(Route::Unmatched)
    }

    /// The template: the value of the label `endpoint`. No route has parameters in its path, so it is the path.
    pub const fn template(self) -> &'static str {
        match self {
            Route::Root => "/",
            Route::Health => "/health",
            Route::Get => "/get",
            Route::Post => "/post",
            Route::ApiData => "/api/data",
            Route::Error => "/error",
            Route::Slow => "/slow",
            Route::Metrics => "/metrics",
            Route::Healthy => "/-/healthy",
            Route::Ready => "/-/ready",
            Route::Reload => "/-/reload",
            Route::Unmatched => "unmatched",
        }
    }

    /// The methods that may be asked, as `Allow` lists them.
    pub const fn allow(self) -> &'static str {
        match self {
            Route::Post => "POST, OPTIONS",
            Route::Reload => "POST, PUT, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }

    /// Whether `method` may be asked.
    pub fn allows(self, method: &str) -> bool {
        self.allow().split(", ").any(|allowed| allowed == method)
    }

    /// The route's place in [`ROUTES`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_and_templates_agree() {
        for (index, route) in ROUTES.into_iter().enumerate() {
            assert_eq!(route.index(), index);
            assert_eq!(Route::of(route.template()), route);
        }
        assert_eq!(Route::of("/api/data/7"), Route::Unmatched);
        assert!(Route::Root.allows("HEAD") && !Route::Root.allows("POST") && !Route::Root.allows("EAD"));
    }
}
