<?php

// Runs PlatesController without Laravel: php -S 127.0.0.1:8001 server.php

require __DIR__ . '/plain.php';
require __DIR__ . '/PlateWebhooks.php';
require __DIR__ . '/PlatesController.php';

$action = basename(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH));
if ($_SERVER['REQUEST_METHOD'] === 'POST' && in_array($action, ['upload', 'callback'], true)) {
    (new PlatesController())->$action(new Illuminate\Http\Request())->send();
} else {
    http_response_code(404);
}
