<?php

// What PlatesController uses of Laravel, in a few lines, to run it without Laravel.

namespace Illuminate\Http;

final class UploadedFile
{
    public function __construct(private string $name, private string $path, private int $error) {}

    public function isValid(): bool
    {
        return $this->error === UPLOAD_ERR_OK;
    }

    public function getErrorMessage(): string
    {
        return "$this->name was not received: PHP's upload error $this->error";
    }

    public function getClientOriginalName(): string
    {
        return $this->name;
    }

    public function getPathname(): string
    {
        return $this->path;
    }
}

final class Request
{
    public function header(string $name): ?string
    {
        return array_change_key_case(getallheaders())[$name] ?? null;
    }

    public function input(string $name): mixed
    {
        return $_POST[$name] ?? null;
    }

    /** @return list<UploadedFile> */
    public function file(string $field): array
    {
        $files = $_FILES[$field] ?? ['name' => [], 'tmp_name' => [], 'error' => []];
        $new = fn (...$of) => new UploadedFile(...$of);

        return array_map($new, (array) $files['name'], (array) $files['tmp_name'], (array) $files['error']);
    }

    public function getContent(): string
    {
        return file_get_contents('php://input');
    }
}

final class Response
{
    public function __construct(private string $content, private int $status) {}

    public function send(): void
    {
        http_response_code($this->status);
        echo $this->content;
    }
}
