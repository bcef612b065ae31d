"use strict";
window.SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  presets: [window.SwaggerUIBundle.presets.apis],
});
