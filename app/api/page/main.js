// Starts the page.
"use strict";
