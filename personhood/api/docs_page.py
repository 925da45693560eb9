"""The readable form of the API's description, at `/api/docs`; it comes from this server alone."""

import base64
import hashlib
from pathlib import Path

import litestar_offline_docs
from litestar import MediaType, Response, get
from litestar.datastructures import CacheControlHeader
from litestar.static_files import create_static_files_router

ASSETS = "/api/docs/assets"
SCRIPT = """
SwaggerUIBundle({
  url: "/api/schema/",
  dom_id: "#docs",
  deepLinking: true,
  persistAuthorization: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  docExpansion: "list",
  validatorUrl: null,
});
"""
STYLE = """
body { margin: 0; background: #fafaf7; }
.swagger-ui .info { margin: 32px 0 16px; }
.swagger-ui .info .title small { top: 0; }
.swagger-ui .scheme-container { background: none; box-shadow: none; padding: 0 0 16px; }
.swagger-ui .wrapper { max-width: 1080px; }
"""
ICON = (
    "data:image/svg+xml,"
    "%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16' fill='%23305a8c'%3E"
    "%3Ccircle cx='8' cy='5' r='4'/%3E%3Cpath d='M1 16a7 6 0 0 1 14 0z'/%3E%3C/svg%3E"
)
PAGE = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>personhood API</title>
<link rel="icon" href="{ICON}">
<link rel="stylesheet" href="{ASSETS}/swagger-ui.css">
<style>{STYLE}</style>
</head>
<body>
<noscript>This page needs JavaScript. The description itself is at
<a href="/api/schema/">/api/schema/</a>.</noscript>
<div id="docs"></div>
<script src="{ASSETS}/swagger-ui-bundle.js"></script>
<script>{SCRIPT}</script>
</body>
</html>
"""
# The browser itself keeps the page from asking any other server.
POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; script-src 'self' "
    f"'sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}'"
)


@get("/api/docs", media_type=MediaType.HTML, include_in_schema=False, sync_to_thread=False)
def page() -> Response[str]:
    return Response(PAGE, media_type=MediaType.HTML, headers={"Content-Security-Policy": POLICY})


assets = create_static_files_router(
    ASSETS,
    directories=[Path(litestar_offline_docs.__file__).parent / "static"],
    name="docs_assets",
    cache_control=CacheControlHeader(max_age=86400, public=True),
)
