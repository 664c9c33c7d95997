<?php
// PHP's own form parser: prints what it reads of each upload as a line of JSON.

// PHP makes a list of a field whose name ends in `[]`, and drops these two characters.
$files = $_FILES[rtrim(getenv('IMAGES_FIELD'), '[]')];
$images = array_map(
    fn ($name, $path) => [$name, hash_file('sha256', $path)],
    (array) $files['name'],
    (array) $files['tmp_name'],
);
$headers = array_change_key_case(getallheaders());
$line = json_encode(['task_id' => $_POST['task_id'], 'images' => $images, 'headers' => $headers]);
file_put_contents('php://stdout', $line . "\n");
